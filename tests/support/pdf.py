"""Small PDF files, made by hand (ISO 32000-1, 7.5): pages of lines in Helvetica."""

import base64
from collections.abc import Sequence

A4 = (595, 842)


def pdf(*pages: str, size: tuple[int, int] = A4, encrypt: bool = False) -> bytes:
    """A PDF file; each page shows the lines of its text. With ``encrypt`` it asks for a password
    that nobody knows.
    """
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size[0]} {size[1]}]"
            f" /Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R >>"
        )
        stream = _stream(text.split("\n"))
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    trailer = "/Root 1 0 R"
    if encrypt:
        secret = "00" * 32
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{secret}> /U <{secret}> /P -4 >>")
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<00> <00>]"
    return _file(objects, trailer)


def pdf_base64(*pages: str, encrypt: bool = False) -> str:
    """``pdf`` as it stands in a document block."""
    return base64.b64encode(pdf(*pages, encrypt=encrypt)).decode()


def _stream(lines: Sequence[str]) -> str:
    shown = "".join(f"({_escaped(line)}) Tj T* " for line in lines)
    return f"BT /F1 12 Tf 14 TL 50 780 Td {shown}ET"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _file(objects: Sequence[str], trailer: str) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for place in places:
        out += f"{place:010} 00000 n \n".encode()
    out += f"trailer << /Size {len(objects) + 1} {trailer} >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(out)
