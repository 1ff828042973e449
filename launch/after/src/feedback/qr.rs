//! The code on the last page.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

/// A link of more bytes gives a code too fine for a phone at arm's length.
pub const LINK_BYTES_MAX: usize = 420;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a link of {bytes} bytes makes no code that a phone reads; at most {LINK_BYTES_MAX}")]
pub struct QrError {
    pub bytes: usize,
}

fn code(url: &str) -> Result<QrCode, QrError> {
    let too_long = || QrError { bytes: url.len() };
    if url.len() > LINK_BYTES_MAX {
        return Err(too_long());
    }
    // 15 % may be lost to creases; a higher level would make the modules of a long link too fine.
    QrCode::with_error_correction_level(url.as_bytes(), EcLevel::M).map_err(|_| too_long())
}

/// A QR code (ISO/IEC 18004, level M) with its quiet zone, black on white.
///
/// # Errors
/// The link is too long.
pub fn qr_svg(url: &str) -> Result<String, QrError> {
    let colours = (svg::Color("#000000"), svg::Color("#ffffff"));
    let code = code(url)?;
    let mut picture = code.render::<svg::Color<'_>>();
    Ok(picture
        .quiet_zone(true)
        .module_dimensions(4, 4)
        .dark_color(colours.0)
        .light_color(colours.1)
        .build())
}

/// The same code as rows of modules from the top, `true` for black, without the quiet zone of four modules around it: for
/// whoever draws it himself.
///
/// # Errors
/// The link is too long.
pub fn qr_rows(url: &str) -> Result<Vec<Vec<bool>>, QrError> {
    let code = code(url)?;
    let dark: Vec<bool> = code
        .to_colors()
        .into_iter()
        .map(|c| c == qrcode::Color::Dark)
        .collect();
    Ok(dark.chunks(code.width().max(1)).map(<[bool]>::to_vec).collect())
}
