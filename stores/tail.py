"""Raw lines of a file, from its end or from its beginning, only as far as somebody reads.

A line is what a newline ends: bytes after the last one are not there yet. Only they are ever cut
off, when a torn end is moved aside, which may happen while somebody reads.
"""

import os
from collections.abc import Callable, Iterator

_SMALLEST = 1 << 13
_LARGEST = 1 << 17
_PROBE = 1 << 11


def backwards(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield offset and line of the first `size` bytes, last line first, without newlines."""
    position, step = size, _SMALLEST
    ended = False
    parts: list[bytes] = []
    while position > 0:
        length = min(step, position)
        position -= length
        step = min(step * 2, _LARGEST)
        pieces = read_at(fd, position, length).split(b"\n")
        offset = position + length
        for number in range(len(pieces) - 1, -1, -1):
            piece = pieces[number]
            offset -= len(piece)
            if ended:
                parts.append(piece)
            if number == 0:
                break
            if ended:
                yield offset, b"".join(reversed(parts))
            parts, ended = [], True
            offset -= 1
    if ended:
        yield 0, b"".join(reversed(parts))


def forwards(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield `(number, line)` of the first `size` bytes, the first line first, numbers from 1."""
    position, number = 0, 0
    parts: list[bytes] = []
    while position < size:
        chunk = read_at(fd, position, min(_LARGEST, size - position))
        position += len(chunk)
        pieces = chunk.split(b"\n")
        for piece in pieces[:-1]:
            number += 1
            yield number, b"".join([*parts, piece])
            parts = []
        parts.append(pieces[-1])


def sought(fd: int, size: int, seq: int, seq_of: Callable[[bytes], int]) -> bytes | None:
    """Return the line of this number of the first `size` bytes, whose numbers rise; None if there
    is none.

    Looked for from the end in steps that double, then between two steps. What `seq_of` raises for
    a line without a number passes.
    """
    low, high, step = 0, size, _SMALLEST
    while high - step > 0:
        start, line = _line_around(fd, size, high - step)
        if seq_of(line) <= seq:
            low = start
            break
        high, step = start, step * 2
    while low < high:
        start, line = _line_around(fd, size, (low + high) // 2)
        found = seq_of(line)
        if found == seq:
            return line
        if found < seq:
            low = start + len(line) + 1
        else:
            high = start
    return None


def _line_around(fd: int, size: int, position: int) -> tuple[int, bytes]:
    """Return offset and bytes of the line that has the byte at `position`."""
    start, before = position, [b""]
    while start > 0 and b"\n" not in before[-1]:
        length = min(_PROBE * len(before), start)
        start -= length
        before.append(read_at(fd, start, length))
    _, newline, begun = before.pop().rpartition(b"\n")
    start = position - len(begun) - sum(map(len, before)) if newline else 0
    parts = [begun, *reversed(before)]
    while position < size and b"\n" not in parts[-1]:
        parts.append(read_at(fd, position, min(_PROBE * len(parts), size - position)))
        position += len(parts[-1])
    return start, b"".join(parts).partition(b"\n")[0]


def line_number(fd: int, offset: int) -> int:
    """Return the number, from 1, of the line that begins at `offset`."""
    count, position = 1, 0
    while position < offset:
        chunk = read_at(fd, position, min(_LARGEST, offset - position))
        count += chunk.count(b"\n")
        position += len(chunk)
    return count


def end_of_lines(fd: int, size: int) -> int:
    """Return the offset after the last newline of the first `size` bytes; 0 if there is none."""
    position, step = size, 1
    while position > 0:
        length = min(step, position)
        position -= length
        step = _LARGEST
        found = read_at(fd, position, length).rfind(b"\n")
        if found >= 0:
            return position + found + 1
    return 0


def whole_lines(fd: int) -> int:
    """Return the offset after the last newline: what is before it never changes."""
    while True:
        size = os.fstat(fd).st_size
        try:
            return end_of_lines(fd, size)
        except OSError:
            if os.fstat(fd).st_size >= size:
                raise


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Return exactly these bytes of a file; raise OSError if it has become shorter."""
    parts: list[bytes] = []
    while length > 0:
        part = os.pread(fd, length, offset)
        if not part:
            raise OSError("the file became shorter while it was read")
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)
