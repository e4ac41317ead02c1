//! What is known, drawn.

use super::state::{Open, Rates, Slot, State};
use crate::text::{counted, printable};
use crate::units::{Rate, Size, percent};
use api::{Peer, Pieces, Torrent};
use engine::events::Direction;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table, TableState};

const DIM: Style = Style::new().fg(Color::DarkGray);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
/// From nothing to everything.
const SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];
const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

pub(super) fn draw(state: &State, frame: &mut Frame<'_>) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(title(state), head);
    let keys = match (&state.open, &state.away) {
        (_, Some(away)) => Line::styled(printable(away).into_owned(), Style::new().fg(Color::Red)),
        (None, _) => Line::styled("↑↓ select  Enter look at it  q end", DIM),
        (Some(_), _) => Line::styled(
            "↑↓ messages  Space hold  Esc back  q end   D/d it would send, it chokes  U/u we send, we choke  S snubbed  I it called",
            DIM,
        ),
    };
    frame.render_widget(keys, foot);
    match &state.open {
        Some(open) => draw_open(open, state.opened(), frame, body),
        None => draw_list(state, frame, body),
    }
}

fn title(state: &State) -> Line<'static> {
    let (down, up) = (latest(&state.total.down), latest(&state.total.up));
    let text = match state.opened() {
        Some(torrent) => format!(
            "{}  {}  {}  down {}  up {}",
            printable(&torrent.name),
            torrent.state.name(),
            done(torrent),
            Rate(torrent.rate_down),
            Rate(torrent.rate_up)
        ),
        None => format!(
            "rawtorrent at {}  {}  down {}  up {}",
            printable(&state.host),
            counted(state.torrents.len() as u64, "torrent"),
            Rate(down),
            Rate(up)
        ),
    };
    Line::styled(text, HEAD)
}

fn draw_list(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let [graphs, list] = Layout::vertical([Constraint::Length(6), Constraint::Min(0)]).areas(area);
    draw_rates(&state.total, frame, graphs);
    let rows = state.torrents.iter().map(|torrent| {
        Row::new([
            printable(&torrent.name).into_owned(),
            torrent.state.name().to_owned(),
            done(torrent),
            Size(torrent.size).to_string(),
            Rate(torrent.rate_down).to_string(),
            Rate(torrent.rate_up).to_string(),
            format!("{} ({})", torrent.peers, torrent.seeds),
        ])
    });
    let widths = [
        Constraint::Min(20),
        Constraint::Length(17),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(12),
        Constraint::Length(12),
        Constraint::Length(10),
    ];
    let head = Row::new(["Name", "State", "Done", "Size", "Down", "Up", "Peers"]).style(HEAD);
    let table = Table::new(rows, widths).header(head).row_highlight_style(Modifier::REVERSED);
    let mut selected = TableState::default().with_selected(Some(state.selected));
    frame.render_stateful_widget(table, list, &mut selected);
    if state.is_known && state.torrents.is_empty() {
        let [_, row] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(list);
        frame.render_widget(Line::styled("no torrents yet: rawtorrent add FILE", DIM), row);
    }
}

fn draw_open(open: &Open, torrent: Option<&Torrent>, frame: &mut Frame<'_>, area: Rect) {
    if torrent.is_none() {
        frame.render_widget(Line::styled("it is not here any more", DIM), area);
        return;
    }
    let peers = u16::try_from(open.peers.len()).unwrap_or(u16::MAX).saturating_add(3).clamp(4, 12);
    let timelines = u16::try_from(open.timelines.len()).unwrap_or(u16::MAX).saturating_add(2).clamp(3, 8);
    let [graphs, map, table, timeline, lines] = Layout::vertical([
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Length(peers),
        Constraint::Length(timelines),
        Constraint::Min(4),
    ])
    .areas(area);
    draw_rates(&open.rates, frame, graphs);
    draw_pieces(open.pieces.as_ref(), frame, map);
    draw_peers(&open.peers, frame, table);
    draw_timelines(open, frame, timeline);
    draw_lines(open, frame, lines);
}

fn draw_rates(rates: &Rates, frame: &mut Frame<'_>, area: Rect) {
    let halves: [Rect; 2] =
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(area);
    for ((name, rates, colour), area) in
        [("Down", &rates.down, Color::Green), ("Up", &rates.up, Color::Cyan)].into_iter().zip(halves)
    {
        let most = rates.iter().copied().max().unwrap_or(0);
        let block = framed(format!("{name} {}, at most {}", Rate(latest(rates)), Rate(most)));
        let width = usize::from(area.width.saturating_sub(2));
        let shown: Vec<u64> = rates.iter().copied().skip(rates.len().saturating_sub(width)).collect();
        frame.render_widget(Sparkline::default().block(block).data(&shown).style(colour), area);
    }
}

fn draw_pieces(pieces: Option<&Pieces>, frame: &mut Frame<'_>, area: Rect) {
    let Some(pieces) = pieces else {
        return frame.render_widget(
            Paragraph::new(Line::styled("not running", DIM)).block(framed("Pieces".into())),
            area,
        );
    };
    let there = pieces.verified().into_iter().filter(|&verified| verified).count();
    let block = framed(format!("Pieces {there} of {}, {} under way", pieces.count, pieces.begun.len()));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let cells = usize::from(inner.width) * usize::from(inner.height);
    let map = pieces.cells(cells);
    let rows = map.chunks(usize::from(inner.width.max(1)));
    let span = |cell: &api::Cell| {
        let colour = if cell.begun { Color::Yellow } else { Color::Green };
        let shade = cell.shade(SHADES.len());
        let text = if cell.begun && shade == 0 { "·" } else { SHADES[shade] };
        Span::styled(text, colour)
    };
    let text: Vec<Line<'_>> = rows.map(|row| row.iter().map(span).collect::<Vec<_>>().into()).collect();
    frame.render_widget(Paragraph::new(text), inner);
}

fn draw_peers(peers: &[Peer], frame: &mut Frame<'_>, area: Rect) {
    let rows = peers.iter().map(|peer| {
        Row::new([
            Cell::from(peer.number.to_string()),
            peer.addr.clone().into(),
            flags(peer).into(),
            Rate(peer.rate_down).to_string().into(),
            Rate(peer.rate_up).to_string().into(),
            format!("{}/{}", peer.requests, peer.window).into(),
            peer.pieces.to_string().into(),
            printable(peer.client.as_deref().unwrap_or("-")).into_owned().into(),
        ])
    });
    let widths = [
        Constraint::Length(5),
        Constraint::Length(24),
        Constraint::Length(5),
        Constraint::Length(12),
        Constraint::Length(12),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Min(10),
    ];
    let head = Row::new(["#", "Address", "Flags", "Down", "Up", "Requests", "Pieces", "Client"]).style(HEAD);
    let table = Table::new(rows, widths).header(head).block(framed(counted(peers.len() as u64, "peer")));
    frame.render_widget(table, area);
}

fn flags(peer: &Peer) -> String {
    let down = match (peer.am_interested, peer.peer_choking) {
        (true, false) => "D",
        (true, true) => "d",
        (false, _) => "-",
    };
    let up = match (peer.peer_interested, peer.am_choking) {
        (true, false) => "U",
        (true, true) => "u",
        (false, _) => "-",
    };
    let snubbed = if peer.snubbed { "S" } else { "-" };
    let incoming = if peer.outgoing { "-" } else { "I" };
    [down, up, snubbed, incoming].concat()
}

fn draw_timelines(open: &Open, frame: &mut Frame<'_>, area: Rect) {
    const NAME: usize = 9;
    let block = framed("Requests: · asked, x refused, bars: blocks that came in half a second".into());
    let inner = block.inner(area);
    let width = usize::from(inner.width).saturating_sub(NAME);
    let rows: Vec<_> = open
        .timelines
        .iter()
        .take(usize::from(inner.height))
        .map(|(&number, timeline)| (number, timeline.up_to(open.slot, width)))
        .collect();
    let most = rows.iter().flat_map(|(_, slots)| slots.iter().flatten()).map(|slot| slot.came).max();
    let text = rows.iter().map(|(number, slots)| {
        let slots: String = slots.iter().map(|slot| glyph(*slot, most.unwrap_or(0))).collect();
        Line::from(vec![Span::styled(format!("peer {number:<4}"), DIM), Span::raw(slots)])
    });
    frame.render_widget(Paragraph::new(text.collect::<Vec<_>>()).block(block), area);
}

fn glyph(slot: Option<Slot>, most: u32) -> &'static str {
    match slot {
        Some(Slot { refused: 1.., .. }) => "x",
        Some(Slot { came: came @ 1.., .. }) => {
            let height = (u64::from(came) * BARS.len() as u64).div_ceil(u64::from(most.max(came)));
            BARS[usize::try_from(height).unwrap_or(BARS.len()).clamp(1, BARS.len()) - 1]
        }
        Some(Slot { asked: 1.., .. }) => "·",
        _ => " ",
    }
}

fn draw_lines(open: &Open, frame: &mut Frame<'_>, area: Rect) {
    let lost = if open.lost > 0 { format!(", {} left out", open.lost) } else { String::new() };
    let held = if open.held { ", held" } else { "" };
    let block = framed(format!("Messages{held}{lost}"));
    let height = usize::from(block.inner(area).height);
    let end = open.lines.len().saturating_sub(open.back).max(height.min(open.lines.len()));
    let lines = open.lines.range(end.saturating_sub(height)..end).map(|line| {
        let (arrow, colour) = match line.direction {
            Some(Direction::In) => ("->", Color::Green),
            Some(Direction::Out) => ("<-", Color::Cyan),
            None => ("  ", Color::DarkGray),
        };
        let (at, peer, text) = (line.at, &line.peer, printable(&line.text));
        Line::styled(format!("{at:>10.4} {peer:<10} {arrow} {text}"), colour)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

fn framed(title: String) -> Block<'static> {
    Block::new().borders(Borders::ALL).border_style(DIM).title(title)
}

fn latest(rates: &std::collections::VecDeque<u64>) -> u64 {
    rates.back().copied().unwrap_or(0)
}

fn done(torrent: &Torrent) -> String {
    match (torrent.done, torrent.wanted) {
        (Some(done), Some(wanted)) => percent(done, wanted),
        _ => "-".into(),
    }
}
