"""Small files of each format, made here."""

from __future__ import annotations

from pathlib import Path


def write_pdf(path: Path, pages: list[str], *, encrypted: bool = False) -> Path:
    """A PDF whose pages show these texts (ASCII, a line each); an empty one shows a rectangle."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        shown = " T* ".join(f"({line}) Tj" for line in text.split("\n"))
        stream = f"BT /F1 12 Tf 14 TL 50 700 Td {shown} ET" if text else "10 10 100 100 re f"
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(objects)} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    lock = ""
    if encrypted:  # no password opens this, since the check value is made up
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /O <{'41' * 32}> /U <{'42' * 32}> /P -4 >>")
        lock = f" /Encrypt {len(objects)} 0 R /ID [<{'43' * 16}> <{'43' * 16}>]"
    data, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R{lock} >>\nstartxref\n{len(data)}\n%%EOF\n"
    path.write_bytes(f"{data}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode("ascii"))
    return path


def write_docx(path: Path) -> Path:
    import docx

    document = docx.Document()
    document.add_heading("Contract", 1)
    document.add_paragraph("The lease runs for two years.")
    document.add_heading("Rent", 2)
    document.add_paragraph("租金每月一千元。")
    table = document.add_table(rows=1, cols=2)
    table.rows[0].cells[0].text = "Deposit"
    table.rows[0].cells[1].text = "3000"
    document.save(str(path))
    return path


def write_xlsx(path: Path) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Budget"
    for row in (["Item", "Cost"], [], ["Chairs", 1200.5], ["桌子", 800]):
        book.active.append(row)
    book.save(path)
    return path


def write_pptx(path: Path) -> Path:
    import pptx

    deck = pptx.Presentation()
    for title, body in (("Goals", "Grow twofold"), ("风险", "现金流")):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
        slide.notes_slide.notes_text_frame.text = f"Say more on {title}"
    deck.save(str(path))
    return path


def write_eml(path: Path) -> Path:
    from email.message import EmailMessage

    inner = EmailMessage()
    inner["Subject"] = "Older"
    inner.set_content("The forwarded words")
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "会议 notes"
    message.set_content("Meeting at noon, 中午。", charset="gb18030")
    message.add_attachment("# Agenda\n\nBudget first.\n", filename="agenda.md")
    message.add_attachment(b"\x89PNG\0\0", maintype="image", subtype="png", filename="../../logo.png")
    message.add_attachment(inner)
    path.write_bytes(message.as_bytes())
    return path
