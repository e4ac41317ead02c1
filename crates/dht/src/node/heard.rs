//! Telling of queries, while somebody listens.

use super::Node;
use crate::addr::{Family, parse_contacts};
use crate::event::{Asked, Exchange, LookupKey, Output, Stage};
use crate::krpc::{self, Body, Method, Packet, Response};
use core::net::SocketAddr;
use core::time::Duration;

impl Node {
    /// Whether each query, ours or a stranger's, and what comes of it, is an [`Output::Exchange`] from now on. It is not
    /// unless this was called; what was asked before is not told of later either.
    pub fn set_heard(&mut self, is_heard: bool) {
        self.is_heard = is_heard;
    }

    /// What is to be told of a query; `None` if nobody listens.
    pub(super) fn heard(&self, key: Option<LookupKey>, method: &Method<'_>) -> Option<Asked> {
        self.is_heard.then(|| Asked { method: method.name(), target: method.target(), key })
    }

    /// Tells of a query that is to be told of.
    pub(super) fn tell_of(&mut self, node: SocketAddr, is_ours: bool, asked: Option<Asked>, stage: Stage) {
        if let Some(asked) = asked.filter(|_| self.is_heard) {
            self.outputs.push_back(Output::Exchange(Exchange { node, is_ours, asked, stage }));
        }
    }
}

impl Stage {
    pub(super) fn answered(took: Duration, response: &Response<'_>) -> Stage {
        let count = |bytes, family| parse_contacts(bytes, family).count();
        let nodes = count(response.nodes, Family::V4) + count(response.nodes6, Family::V6);
        Stage::Answered { took, nodes, peers: response.values.len() }
    }

    /// By an answer of ours.
    pub(super) fn by_answer(bytes: &[u8]) -> Stage {
        let nothing = Stage::Answered { took: Duration::ZERO, nodes: 0, peers: 0 };
        let Ok(document) = krpc::decode(bytes) else { return nothing };
        match krpc::parse(&document) {
            Ok(Packet { body: Body::Response(response), .. }) => Stage::answered(Duration::ZERO, &response),
            _ => nothing,
        }
    }
}
