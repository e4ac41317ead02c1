//! Pictures: the map of pieces, and the speed.

use crate::limits::MAX_PICTURE_CELLS;
use api::units::{Rate, Span};
use api::{Cell, Pieces};
use std::time::Duration;

/// Pixels of a cell's side, a line between cells included.
const CELL: usize = 7;
/// Pixels of the speed's graph.
const GRAPH: (usize, usize) = (480, 140);
/// Pixels above and below it, for its scale.
const STRIP: usize = 14;
/// Pixels of a dot's side, in what is written.
const DOT: usize = 2;
/// Grey of the lines, then from nothing to everything, then begun, then the graph, then what is written.
const PALETTE: [[u8; 3]; 9] = [
    [0x2b, 0x2d, 0x31],
    [0x4a, 0x4d, 0x55],
    [0x3d, 0x6b, 0x50],
    [0x3c, 0x84, 0x57],
    [0x3a, 0x9c, 0x5e],
    [0x37, 0xb4, 0x65],
    [0xf0, 0xb2, 0x32],
    [0x58, 0x9b, 0xf2],
    [0xdb, 0xde, 0xe1],
];
/// From nothing to everything.
const SHADES: usize = 5;
const BACK: u8 = 0;
const LINE: u8 = 1;
const BEGUN: u8 = 6;
const CURVE: u8 = 7;
const INK: u8 = 8;
/// What rates and durations are written with: five rows of three dots, an octal digit each.
const SIGNS: [(char, u16); 24] = [
    ('0', 0o75557),
    ('1', 0o26227),
    ('2', 0o71747),
    ('3', 0o71717),
    ('4', 0o55711),
    ('5', 0o74717),
    ('6', 0o74757),
    ('7', 0o71111),
    ('8', 0o75757),
    ('9', 0o75717),
    ('.', 0o00002),
    ('/', 0o11244),
    ('B', 0o65656),
    ('K', 0o55655),
    ('M', 0o57755),
    ('G', 0o34553),
    ('T', 0o72222),
    ('P', 0o65644),
    ('E', 0o74647),
    ('i', 0o20222),
    ('s', 0o34216),
    ('m', 0o07755),
    ('h', 0o44655),
    ('d', 0o11353),
];

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

/// The speed over time as a PNG: as high as the fastest of `rates`, as wide as all of them `took`. Both are written beside
/// it: the rate of the line at its top, and how long it is from left to right.
///
/// # Errors
/// Of the encoder; none is known.
pub fn speed(rates: &[u64], took: Duration) -> Result<Vec<u8>, png::EncodingError> {
    let (width, height) = GRAPH;
    let mut picture = Picture::new(width, height + 2 * STRIP);
    let most = rates.iter().copied().max().unwrap_or(0).max(1);
    for line in [STRIP - 1, STRIP + height / 2, STRIP + height] {
        picture.fill(0, line, width, 1, LINE);
    }
    picture.write(0, 1, &Rate(most).to_string());
    picture.write(0, STRIP + height + 3, "0");
    let took = Span(took).to_string();
    picture.write(width - took.len() * Picture::SIGN, STRIP + height + 3, &took);
    for x in 0..width {
        let Some(&rate) = rates.get(x * rates.len() / width) else { continue };
        let share = u128::from(rate) * (height as u128 - 1) / u128::from(most);
        let tall = usize::try_from(share).unwrap_or(height) + 1;
        picture.fill(x, STRIP + height - tall, 1, tall, CURVE);
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

    /// Pixels from one sign to the next.
    const SIGN: usize = 4 * DOT;

    /// Writes one line; a sign that is not known is left out.
    fn write(&mut self, left: usize, top: usize, text: &str) {
        for (place, sign) in text.chars().enumerate() {
            let dots = SIGNS.iter().find(|(known, _)| *known == sign).map_or(0, |&(_, dots)| dots);
            for dot in (0..15).filter(|dot| dots >> (14 - dot) & 1 == 1) {
                let (across, down) = (dot % 3 * DOT, dot / 3 * DOT);
                self.fill(left + place * Self::SIGN + across, top + down, DOT, DOT, INK);
            }
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
        let (width, height, pixels) = read(&speed(&[0, 50, u64::MAX, 0], Duration::from_secs(16)).unwrap());
        let tall = |x: usize| (0..height).filter(|y| pixels[y * width + x] == CURVE).count();
        assert_eq!((tall(0), tall(width / 2), tall(width - 1)), (1, GRAPH.1, 1));
        assert!(speed(&[], Duration::ZERO).is_ok() && speed(&[7; 100_000], Duration::MAX).is_ok());
    }

    #[test]
    fn the_speed_has_a_scale() {
        let drawn = |rates: &[u64], seconds| {
            let (width, height, pixels) = read(&speed(rates, Duration::from_secs(seconds)).unwrap());
            assert_eq!(height, GRAPH.1 + 2 * STRIP);
            // What is written above and below, as text.
            let rows = |from: usize| {
                let row = |y: usize| pixels[y * width..][..width].to_vec();
                (from..from + STRIP - 1).map(row).collect::<Vec<_>>()
            };
            (rows(0), rows(STRIP + GRAPH.1 + 1))
        };
        let (above, below) = drawn(&[1 << 20], 16);
        let ink = |rows: &[Vec<u8>]| rows.iter().flatten().filter(|&&pixel| pixel == INK).count();
        assert!(ink(&above) > 0 && ink(&below) > 0);
        assert_eq!(drawn(&[1 << 20, 1 << 19], 16), (above.clone(), below.clone()), "the same scale");
        assert_ne!(drawn(&[1 << 21], 16).0, above, "another rate");
        assert_ne!(drawn(&[1 << 20], 17).1, below, "another duration");
        let written =
            ["0 B/s", "999.9 KiB/s", "16.0 EiB/s", "MGTP", "59s", "1m 05s", "2h 07m", "5d 01h"].concat();
        let known = |sign: char| sign == ' ' || SIGNS.iter().any(|(known, _)| *known == sign);
        assert!(written.chars().all(known));
    }
}
