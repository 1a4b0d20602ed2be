# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel modules of a few sections, as far as readers of ELF files look."""

import struct

REAL = (".modinfo", 1, 2, b"name=real\0", 0, 0)


def made(*sections):
    """A module of ``sections``, each (name, type, flags, content, link, info)."""
    names, body, rows = b"\0", bytearray(), [bytes(64)]
    for title, kind, flags, content, link, info in (*sections, (".shstrtab", 3, 0, None, 0, 0)):
        start = len(names)
        names += title.encode() + b"\0"
        content = names if content is None else content
        entry = 24 if kind in (2, 4) else 0
        facts = start, kind, flags, 0, 64 + len(body), len(content), link, info, 1, entry
        rows.append(struct.pack("<IIQQQQIIQQ", *facts))
        body += content
    head = struct.pack(
        "<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, len(rows), len(rows) - 1
    )
    return b"\x7fELF\x02\x01\x01" + bytes(9) + head + body + b"".join(rows)


def klp(alloc, count=1, code=b"\x90", functions=(), touched=()):
    """A module with a klp_patch that replaces ``f``, its data in sections with the flags ``alloc``.

    ``functions`` are the (start, end) of symbols in ``code``, and ``touched`` lists of offsets there that
    refer to the patch, one relocation section each.
    """
    # .data: an object's function array, the function, the patch; .strings: "f"; symbols by section.
    strings = b"f\0"
    data = bytes(64 + 96 * count)
    symbols = b"".join(
        struct.pack("<IBBHQQ", name, kind, 0, section, 0, 0)
        for name, kind, section in ((0, 0, 0), (1, 1, 0), (0, 3, 2), (0, 3, 3), (0, 3, 4))
    )
    symbols += b"".join(struct.pack("<IBBHQQ", 1, 2, 0, 4, start, end - start) for start, end in functions)
    # 0: function{name, code}, 64..: patch{__this_module, objects}, objects{name, functions}
    relocs = [(0, 3, 0), (8, 4, 0)]
    for number in range(count):
        at = 64 + 96 * number
        relocs += [(at, 1, 0), (at + 8, 2, at + 40), (at + 48, 2, 0)]
    rela = b"".join(struct.pack("<QQq", at, symbol << 32, addend) for at, symbol, addend in relocs)
    return made(
        REAL,
        (".data", 1, alloc, data, 0, 0),
        (".rodata", 1, alloc, strings, 0, 0),
        (".text", 1, 6, code, 0, 0),
        (".symtab", 2, 0, symbols, 6, 0),
        (".strtab", 3, 0, b"\0__this_module\0", 0, 0),
        (".rela.data", 4, 0, rela, 5, 2),
        *(
            (".rela.text", 4, 0, b"".join(struct.pack("<QQq", at, 2 << 32, 64) for at in one), 5, 4)
            for one in touched
        ),
    )
