//! What bytes cost on a line: TCP carries them in segments, and acknowledges those.

use swarm::limits::{SEGMENT_HEADERS, SEGMENT_PAYLOAD};

/// Bytes of IP that carry so many bytes of a long stream, whose segments are full.
pub(crate) fn of_stream(bytes: u64) -> u64 {
    bytes + bytes * SEGMENT_HEADERS / SEGMENT_PAYLOAD
}

/// The same of bytes that nothing follows before they leave: they do not fill their last segment.
pub(crate) fn of_message(bytes: u64) -> u64 {
    bytes + bytes.div_ceil(SEGMENT_PAYLOAD) * SEGMENT_HEADERS
}

/// Bytes of IP that come back for so many bytes of a long stream: one acknowledgement for every second segment
/// (RFC 9293, 3.8.6.3).
pub(crate) fn back(bytes: u64) -> u64 {
    bytes * SEGMENT_HEADERS / (2 * SEGMENT_PAYLOAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_1500_bytes_and_every_second_is_acknowledged() {
        assert_eq!(of_stream(1448 * 100), 1500 * 100);
        assert_eq!(back(1448 * 100), 52 * 50);
        assert_eq!((of_message(17), of_message(1448), of_message(1449)), (69, 1500, 1553));
    }
}
