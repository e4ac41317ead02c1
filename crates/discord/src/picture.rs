//! Pictures: the map of pieces, and the speed.

use crate::limits::MAX_PICTURE_CELLS;
use api::{Cell, Pieces};

/// Pixels of a cell's side, a line between cells included.
const CELL: usize = 7;
/// Pixels of the speed's graph.
const GRAPH: (usize, usize) = (480, 140);
/// Grey of the lines, then from nothing to everything, then begun, then the graph.
const PALETTE: [[u8; 3]; 8] = [
    [0x2b, 0x2d, 0x31],
    [0x4a, 0x4d, 0x55],
    [0x3d, 0x6b, 0x50],
    [0x3c, 0x84, 0x57],
    [0x3a, 0x9c, 0x5e],
    [0x37, 0xb4, 0x65],
    [0xf0, 0xb2, 0x32],
    [0x58, 0x9b, 0xf2],
];
/// From nothing to everything.
const SHADES: usize = 5;
const BACK: u8 = 0;
const BEGUN: u8 = 6;
const CURVE: u8 = 7;

/// The pieces as a square PNG: grey is missing, green is here, yellow is begun.
///
/// # Errors
/// Of the encoder; none is known.
pub fn pieces(pieces: &Pieces) -> Result<Vec<u8>, png::EncodingError> {
    let cells = pieces.cells(MAX_PICTURE_CELLS);
    let columns = (1..).find(|side| side * side >= cells.len()).unwrap_or(1);
    let rows = cells.len().div_ceil(columns).max(1);
    let mut picture = Picture::new(columns * CELL + 1, rows * CELL + 1);
    for (number, cell) in cells.iter().enumerate() {
        let (left, top) = (number % columns * CELL + 1, number / columns * CELL + 1);
        picture.fill(left, top, CELL - 1, CELL - 1, colour(*cell));
    }
    picture.png()
}

fn colour(cell: Cell) -> u8 {
    match cell.shade(SHADES) {
        _ if cell.begun => BEGUN,
        // There are five of them.
        shade => 1 + u8::try_from(shade).unwrap_or(0),
    }
}

/// The speed over time as a PNG: as high as the fastest of `rates`.
///
/// # Errors
/// Of the encoder; none is known.
pub fn speed(rates: &[u64]) -> Result<Vec<u8>, png::EncodingError> {
    let (width, height) = GRAPH;
    let mut picture = Picture::new(width, height);
    let most = rates.iter().copied().max().unwrap_or(0).max(1);
    for x in 0..width {
        let Some(&rate) = rates.get(x * rates.len() / width) else { continue };
        let share = u128::from(rate) * (height as u128 - 1) / u128::from(most);
        let tall = usize::try_from(share).unwrap_or(height) + 1;
        picture.fill(x, height - tall, 1, tall, CURVE);
    }
    picture.png()
}

/// Pixels by number of the palette.
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn new(width: usize, height: usize) -> Picture {
        Picture { width, height, pixels: vec![BACK; width * height] }
    }

    fn fill(&mut self, left: usize, top: usize, width: usize, height: usize, colour: u8) {
        for row in self.pixels.chunks_mut(self.width).skip(top).take(height) {
            row.iter_mut().skip(left).take(width).for_each(|pixel| *pixel = colour);
        }
    }

    fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, side(self.width), side(self.height));
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(PALETTE.concat());
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Width, height and pixels.
    fn read(file: &[u8]) -> (usize, usize, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.color_type, png::ColorType::Indexed);
        (info.width as usize, info.height as usize, pixels)
    }

    #[test]
    fn each_piece_has_its_cell() {
        let map = Pieces { count: 5, length: 1, have: "80".into(), begun: vec![1] };
        let (width, height, pixels) = read(&super::pieces(&map).unwrap());
        assert_eq!((width, height), (3 * CELL + 1, 2 * CELL + 1));
        let cell = |column: usize, row: usize| pixels[(row * CELL + 1) * width + column * CELL + 1];
        assert_eq!([cell(0, 0), cell(1, 0), cell(2, 0), cell(0, 1)], [5, BEGUN, 1, 1]);
        assert_eq!((cell(2, 1), pixels[0]), (BACK, BACK), "no sixth piece");
    }

    #[test]
    fn pictures_have_an_end() {
        let count = u32::try_from(MAX_PICTURE_CELLS * 100).unwrap();
        let map = Pieces { count, length: 1, have: "5".repeat(count as usize / 4), begun: vec![] };
        let file = super::pieces(&map).unwrap();
        assert_eq!(read(&file).0, 64 * CELL + 1);
        assert!(file.len() < 64 * 1024);
        let none = Pieces { count: 0, length: 1, have: String::new(), begun: vec![] };
        assert_eq!(read(&super::pieces(&none).unwrap()).0, CELL + 1);
    }

    #[test]
    fn the_fastest_is_the_highest() {
        let (width, height, pixels) = read(&speed(&[0, 50, u64::MAX, 0]).unwrap());
        let tall = |x: usize| (0..height).filter(|y| pixels[y * width + x] == CURVE).count();
        assert_eq!((tall(0), tall(width / 2), tall(width - 1)), (1, height, 1));
        assert!(speed(&[]).is_ok() && speed(&[7; 100_000]).is_ok());
    }
}
