use std::ops::Range;

/// A line that is longer goes out in pieces: nothing that an app writes makes its reader grow.
pub const PIECE_MAX: usize = 128 << 10;

/// Cuts a stream of bytes into lines: none torn, glued or lost, whatever the blocks that it comes in.
///
/// What has no end yet is kept until its end comes, or the stream's.
#[derive(Debug, Default)]
pub struct Framer {
    partial: Vec<u8>,
}

impl Framer {
    /// Calls `line` with each line that is complete, without what ended it; of one that is too long, with each piece.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.partial.is_empty() && head.len() <= PIECE_MAX {
                line(head);
                continue;
            }
            self.keep(head, &mut line);
            line(&self.partial);
            self.partial.clear();
        }
        self.keep(bytes, &mut line);
    }

    /// The stream has ended: what is left is a line, too.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
            self.partial = Vec::new();
        }
    }

    fn keep(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&[u8])) {
        while self.partial.len() + bytes.len() > PIECE_MAX {
            let (head, rest) = bytes.split_at(PIECE_MAX - self.partial.len());
            self.partial.extend_from_slice(head);
            bytes = rest;
            let torn = unfinished_char(&self.partial);
            let after = self.partial.split_off(torn.start);
            line(&self.partial);
            self.partial = after;
        }
        self.partial.extend_from_slice(bytes);
    }
}

/// Where the last character begins, when its end is missing; else the end. What is no UTF-8 is cut anywhere.
fn unfinished_char(bytes: &[u8]) -> Range<usize> {
    let end = bytes.len();
    for back in 1..=3.min(end) {
        let length = match bytes[end - back] {
            0x80..0xc0 => continue,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            0xf0..0xf8 => 4,
            _ => 1,
        };
        return if length > back { end - back..end } else { end..end };
    }
    end..end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed<'a>(blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let mut framer = Framer::default();
        let mut lines = Vec::new();
        for block in blocks {
            framer.push(block, |line| lines.push(line.to_owned()));
            assert!(framer.partial.len() <= PIECE_MAX);
        }
        framer.finish(|line| lines.push(line.to_owned()));
        framer.finish(|_| panic!("finished once"));
        lines
    }

    #[test]
    fn an_unterminated_tail_is_a_line_at_the_end_only() {
        let table: [(&[&str], &[&str]); 6] = [
            (&["a\nb\n"], &["a", "b"]),
            (&["a", "b\nc", "\n\nd"], &["ab", "c", "", "d"]),
            (&["L1\nL2\npartial"], &["L1", "L2", "partial"]),
            (&["\n"], &[""]),
            (&["", ""], &[]),
            (&["x\r\n"], &["x\r"]),
        ];
        for (blocks, want) in table {
            let got = framed(blocks.iter().map(|block| block.as_bytes()));
            assert_eq!(got, want.iter().map(|line| line.as_bytes().to_owned()).collect::<Vec<_>>(), "{blocks:?}");
        }
    }

    #[test]
    fn an_endless_line_goes_out_in_pieces_between_characters() {
        let long = "é".repeat(PIECE_MAX * 2) + "\nnext\n";
        for size in [1 << 10, 4_097, 1 << 20] {
            let lines = framed(long.as_bytes().chunks(size));
            assert_eq!(lines.last().unwrap(), b"next");
            assert!(lines.iter().all(|line| line.len() <= PIECE_MAX && std::str::from_utf8(line).is_ok()));
            assert_eq!(lines[..lines.len() - 1].concat(), long.as_bytes()[..long.len() - 6]);
        }
        let binary = vec![0x80; PIECE_MAX * 3];
        assert_eq!(framed([binary.as_slice()]).concat(), binary);
    }

    proptest! {
        #[test]
        fn whatever_the_blocks_the_lines_are_the_same(
            lines in prop::collection::vec("[a-zé🚀]{0,9}", 0..30), tail in "[a-z]{0,5}", cuts in prop::collection::vec(1..7_usize, 1..99)
        ) {
            let mut text = lines.iter().fold(String::new(), |text, line| text + line + "\n");
            text.push_str(&tail);
            let mut blocks = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (block, after) = rest.split_at((*cut).min(rest.len()));
                blocks.push(block);
                rest = after;
            }
            let want: Vec<&str> = lines.iter().map(String::as_str).chain(Some(tail.as_str()).filter(|tail| !tail.is_empty())).collect();
            let got = framed(blocks);
            prop_assert_eq!(got.iter().map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>(), want);
        }
    }
}
