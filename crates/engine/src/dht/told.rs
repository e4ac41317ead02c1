//! Queries as events.

use crate::events::{Direction, EventKind};
use dht::{Asked, Exchange, Stage};

pub(super) fn event(exchange: Exchange) -> EventKind {
    let Exchange { node, is_ours, asked: Asked { method, target, .. }, stage } = exchange;
    let (asked, answered) =
        if is_ours { (Direction::Out, Direction::In) } else { (Direction::In, Direction::Out) };
    let (node, query, took_of) = (node.into(), method.into(), |took| is_ours.then_some(took));
    match stage {
        Stage::Sent => {
            let target = target.map(|id| id.to_string());
            EventKind::DhtAsked { peer: node, direction: asked, query, target }
        }
        Stage::Answered { took, nodes, peers } => {
            let took = took_of(took);
            EventKind::DhtAnswered { peer: node, direction: answered, query, nodes, peers, took }
        }
        Stage::Refused { took, code, text } => {
            let (error, took) = (format!("error {code}: {text}"), took_of(took));
            EventKind::DhtFailed { peer: node, direction: answered, query, error, took }
        }
        Stage::TimedOut { took } => {
            let (error, took) = ("no answer".to_owned(), took_of(took));
            EventKind::DhtFailed { peer: node, direction: answered, query, error, took }
        }
    }
}
