//! A small document with two pages and an attached file, written by hand.

/// Its bytes; `cut` leaves out the line end behind `%%EOF`.
pub fn paper(cut: bool) -> Vec<u8> {
    let text = "BT /F1 24 Tf 72 700 Td (Ticked 9 of 9) Tj ET";
    let attached = "{\"ticked\":9}";
    let objects = [
        "<</Type/Catalog/Pages 2 0 R/Names<</EmbeddedFiles<</Names[(data.json)6 0 R]>>>>>>".to_owned(),
        "<</Type/Pages/Kids[3 0 R 9 0 R]/Count 2>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595.276 841.89]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>".to_owned(),
        format!("<</Length {}>>stream\n{text}\nendstream", text.len()),
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>".to_owned(),
        "<</Type/Filespec/F(data.json)/UF(data.json)/EF<</F 7 0 R>>>>".to_owned(),
        format!("<</Type/EmbeddedFile/Length {}>>stream\n{attached}\nendstream", attached.len()),
        "<</Title(Checklist)/Odd#20name(a\\(b)>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595.276 841.89]/Resources<<>>>>".to_owned(),
    ];
    let mut pdf = b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n".to_vec();
    let mut offsets = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        offsets.push(pdf.len());
        pdf.extend_from_slice(format!("{} 0 obj\n{object}\nendobj\n", i + 1).as_bytes());
    }
    let table = pdf.len();
    pdf.extend_from_slice(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).as_bytes());
    for offset in offsets {
        pdf.extend_from_slice(format!("{offset:010} 00000 n \n").as_bytes());
    }
    pdf.extend_from_slice(
        format!(
            "trailer\n<</Size {}/Root 1 0 R/Info 8 0 R/ID[(0123456789abcdef)(0123456789abcdef)]>>\nstartxref\n{table}\n%%EOF",
            objects.len() + 1
        )
        .as_bytes(),
    );
    if !cut {
        pdf.push(b'\n');
    }
    pdf
}
