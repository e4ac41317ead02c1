//! What is known, drawn.

use super::state::{Open, Rates, Slot, State};
use crate::terminal::fitted;
use crate::text::{counted, printable};
use crate::units::{Rate, Size};
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
    frame.render_widget(title(state, head.width), head);
    let keys = match (&state.open, &state.away) {
        (_, Some(away)) => Line::styled(printable(away).into_owned(), Style::new().fg(Color::Red)),
        (None, _) => legend(&["q end", "↑↓ select", "Enter look at it"], foot.width),
        (Some(_), _) => legend(&["Esc back", "q end", "↑↓ messages", "Space hold"], foot.width),
    };
    frame.render_widget(keys, foot);
    match &state.open {
        Some(open) => draw_open(open, state.opened(), frame, body),
        None => draw_list(state, frame, body),
    }
}

/// What flags of peers mean.
const FLAGS: [&str; 4] =
    ["D/d it would send, it chokes", "U/u we send, we choke", "S snubbed", "I it called"];

/// As many of the parts, of which the first matter most, as have room.
fn legend(parts: &[&str], width: u16) -> Line<'static> {
    let mut text = String::new();
    for part in parts {
        let longer = if text.is_empty() { (*part).to_owned() } else { format!("{text}  {part}") };
        if longer.chars().count() > width.into() {
            break;
        }
        text = longer;
    }
    Line::styled(text, DIM)
}

/// A name, and numbers that stay where there is no room for all of it.
fn title(state: &State, width: u16) -> Line<'static> {
    let rate = |rate: u64| if state.away.is_some() { "-".to_owned() } else { Rate(rate).to_string() };
    let (name, numbers) = match state.opened() {
        Some(torrent) => {
            let (down, up) = (rate(torrent.rate_down), rate(torrent.rate_up));
            let how = format!("  {}  {}  down {down}  up {up}", torrent.state.short_name(), torrent.share());
            (printable(&torrent.name).into_owned(), how)
        }
        None => {
            let (down, up) = (rate(latest(&state.total.down)), rate(latest(&state.total.up)));
            let count = counted(state.torrents.len() as u64, "torrent");
            (format!("rawtorrent at {}", printable(&state.host)), format!("  {count}  down {down}  up {up}"))
        }
    };
    let room = usize::from(width).saturating_sub(numbers.chars().count()).max(NAME_WIDTH.into());
    Line::styled(format!("{}{numbers}", fitted(&name, Some(room))), HEAD)
}

/// Columns that a name has at least.
const NAME_WIDTH: u16 = 19;

/// A column of a table.
struct Column<T> {
    head: &'static str,
    width: u16,
    /// Where not all have room, those of the highest ranks are left out.
    rank: u8,
    text: fn(&T) -> String,
}

const fn column<T>(head: &'static str, width: u16, rank: u8, text: fn(&T) -> String) -> Column<T> {
    Column { head, width, rank, text }
}

/// A table of those columns that have room; the one of rank 0 has what is left.
fn table<T>(mut columns: Vec<Column<T>>, rows: &[&T], width: u16) -> Table<'static> {
    let taken = |columns: &[Column<T>]| columns.iter().map(|column| column.width + 1).sum::<u16>();
    while taken(&columns) > width + 1
        && let Some(worst) =
            (0..columns.len()).max_by_key(|&at| columns[at].rank).filter(|&at| columns[at].rank > 0)
    {
        columns.remove(worst);
    }
    let left = (width + 1).saturating_sub(taken(&columns));
    columns.iter_mut().filter(|column| column.rank == 0).for_each(|column| column.width += left);
    let cell = |column: &Column<T>, row: &T| {
        Cell::from(fitted(&(column.text)(row), Some(column.width.into())).into_owned())
    };
    let shown =
        rows.iter().map(|row| Row::new(columns.iter().map(|column| cell(column, row)).collect::<Vec<_>>()));
    let head = Row::new(columns.iter().map(|column| column.head).collect::<Vec<_>>()).style(HEAD);
    Table::new(shown, columns.iter().map(|column| Constraint::Length(column.width))).header(head)
}

/// Below that, the list has no graphs.
const LIST_WITH_GRAPHS: u16 = 16;

fn draw_list(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let graphs = if area.height < LIST_WITH_GRAPHS { 0 } else { 6 };
    let [graphs, list] = Layout::vertical([Constraint::Length(graphs), Constraint::Min(0)]).areas(area);
    draw_rates(&state.total, frame, graphs);
    let columns: Vec<Column<Torrent>> = vec![
        column("Name", NAME_WIDTH, 0, |torrent| printable(&torrent.name).into_owned()),
        column("State", 11, 3, |torrent| torrent.state.short_name().to_owned()),
        column("Done", 7, 1, Torrent::share),
        column("Size", 10, 5, |torrent| Size(torrent.size).to_string()),
        column("Down", 12, 2, |torrent| Rate(torrent.rate_down).to_string()),
        column("Up", 12, 4, |torrent| Rate(torrent.rate_up).to_string()),
        column("Peers", 10, 6, |torrent| format!("{} ({})", torrent.peers, torrent.seeds)),
    ];
    // Only those that can be seen, with the selected one among them.
    let rows = usize::from(list.height.saturating_sub(1));
    let first = state.selected.saturating_sub(rows / 2).min(state.torrents.len().saturating_sub(rows));
    let seen: Vec<&Torrent> = state.torrents.iter().skip(first).take(rows).collect();
    let table = table(columns, &seen, list.width).row_highlight_style(Modifier::REVERSED);
    let mut selected = TableState::default().with_selected(Some(state.selected - first));
    frame.render_stateful_widget(table, list, &mut selected);
    if state.is_known && state.torrents.is_empty() {
        let [_, row] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(list);
        frame.render_widget(Line::styled("no torrents yet: rawtorrent add FILE", DIM), row);
    }
}

/// How high rates, pieces, peers and requests are; messages have the rest, which is not less than five lines, frame and all.
fn heights(height: u16, peers: usize, timelines: usize) -> [u16; 4] {
    let rows = |rows: usize, more: u16, most: u16| {
        u16::try_from(rows).unwrap_or(most).saturating_add(more).clamp(more + 1, most)
    };
    let (peers, timelines) = (rows(peers, 3, 12), rows(timelines, 2, 8));
    let choices = [
        [6, 5, peers, timelines],
        [6, 5, peers.min(6), timelines.min(5)],
        [4, 4, peers.min(5), timelines.min(4)],
        [0, 4, peers.min(5), timelines.min(4)],
        [0, 3, peers.min(5), 0],
        [0, 0, 4, 0],
    ];
    let fits = |parts: &[u16; 4]| parts.iter().sum::<u16>() + 5 <= height;
    choices.into_iter().find(fits).unwrap_or_default()
}

fn draw_open(open: &Open, torrent: Option<&Torrent>, frame: &mut Frame<'_>, area: Rect) {
    let Some(torrent) = torrent else {
        frame.render_widget(Line::styled("it is not here any more", DIM), area);
        return;
    };
    // All of it: nowhere else on the screen is room for it.
    let told: Vec<Line<'_>> = torrent.error.iter().flat_map(|error| wrapped(error, area.width)).collect();
    let error = u16::try_from(told.len()).unwrap_or(u16::MAX).min(area.height);
    let parts = heights(area.height.saturating_sub(error), open.peers.len(), open.timelines.len());
    let [graphs, map, table, timeline] = parts.map(Constraint::Length);
    let [fault, graphs, map, table, timeline, lines] =
        Layout::vertical([Constraint::Length(error), graphs, map, table, timeline, Constraint::Min(0)])
            .areas(area);
    frame.render_widget(Paragraph::new(told), fault);
    draw_rates(&open.rates, frame, graphs);
    draw_pieces(open.pieces.as_ref(), frame, map);
    draw_peers(&open.peers, frame, table);
    draw_timelines(open, frame, timeline);
    draw_lines(open, frame, lines);
}

/// An error in lines that are no wider than that, broken between words where that goes.
fn wrapped(error: &str, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width.max(1));
    let mut lines = vec![String::new()];
    for word in printable(error).split(' ') {
        for (index, part) in parts(word, width).into_iter().enumerate() {
            let line = lines.last_mut().expect("there is one");
            let gap = if index == 0 && !line.is_empty() { " " } else { "" };
            let is_room = Span::raw(&*line).width() + gap.len() + Span::raw(&*part).width() <= width;
            if is_room && (index == 0 || line.is_empty()) {
                line.push_str(gap);
                line.push_str(&part);
            } else {
                lines.push(part);
            }
        }
    }
    lines.into_iter().map(|line| Line::styled(line, Style::new().fg(Color::Red))).collect()
}

/// A word in parts that are no wider than that.
fn parts(word: &str, width: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    for c in word.chars() {
        let part = parts.last_mut().expect("there is one");
        part.push(c);
        if part.chars().count() > 1 && Span::raw(&*part).width() > width {
            part.pop();
            parts.push(c.into());
        }
    }
    parts
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
    let longest = peers.iter().map(|peer| peer.addr.len()).max().and_then(|len| u16::try_from(len).ok());
    let columns: Vec<Column<Peer>> = vec![
        column("#", 5, 1, |peer| peer.number.to_string()),
        column("Address", longest.unwrap_or(0).max(21), 5, |peer| peer.addr.clone()),
        column("Flags", 5, 2, flags),
        column("Down", 12, 3, |peer| Rate(peer.rate_down).to_string()),
        column("Up", 12, 4, |peer| Rate(peer.rate_up).to_string()),
        column("Requests", 9, 6, |peer| format!("{}/{}", peer.requests, peer.window)),
        column("Pieces", 7, 7, |peer| peer.pieces.to_string()),
        column("Client", 10, 0, |peer| printable(peer.client.as_deref().unwrap_or("-")).into_owned()),
    ];
    let block = framed(counted(peers.len() as u64, "peer"));
    let inner = block.inner(area);
    let block = block.title_bottom(legend(&FLAGS, inner.width));
    let mut seen: Vec<&Peer> = peers.iter().collect();
    if seen.len() >= usize::from(inner.height) {
        // Not all can be seen: the fastest are.
        seen.sort_by_key(|peer| std::cmp::Reverse(peer.rate_down + peer.rate_up));
    }
    frame.render_widget(table(columns, &seen, inner.width).block(block), area);
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
    let block = framed("Requests: · asked, x refused, bars: blocks that came in half a second".into());
    let inner = block.inner(area);
    let digits = open.timelines.keys().next_back().map_or(0, |number| number.to_string().len()).max(4);
    let width = usize::from(inner.width).saturating_sub("peer ".len() + digits);
    let rows: Vec<_> = open
        .timelines
        .iter()
        .take(usize::from(inner.height))
        .map(|(&number, timeline)| (number, timeline.up_to(open.slot, width)))
        .collect();
    let most = rows.iter().flat_map(|(_, slots)| slots.iter().flatten()).map(|slot| slot.came).max();
    let text = rows.iter().map(|(number, slots)| {
        let slots: String = slots.iter().map(|slot| glyph(*slot, most.unwrap_or(0))).collect();
        Line::from(vec![Span::styled(format!("peer {number:<digits$}"), DIM), Span::raw(slots)])
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
    let deaf = open.deaf.as_ref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
    let block = framed(format!("Messages{held}{lost}{deaf}"));
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
