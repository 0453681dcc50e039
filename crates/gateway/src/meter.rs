//! What came of an answer so far, in tokens.

use mainstay_inference::{Event, Piece, Tokens};

/// Bytes of text for a token, where the provider counted nothing.
const BYTES_PER_TOKEN: u64 = 4;

/// No window is larger: a count beyond it is the provider's mistake, and would use up every budget.
const TOKENS_MAX: u64 = 20_000_000;

const fn is_plausible(tokens: Tokens) -> bool {
    tokens.input <= TOKENS_MAX && tokens.output <= TOKENS_MAX
}

/// Counts one attempt.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meter {
    input_estimate: u64,
    counted: Option<Tokens>,
    bytes: u64,
    is_finished: bool,
}

impl Meter {
    pub(crate) fn new(input_estimate: u64) -> Self {
        Self {
            input_estimate,
            ..Self::default()
        }
    }

    /// Counts a piece; says whether the caller gets to see something by it.
    pub(crate) fn add(&mut self, piece: &Piece) -> bool {
        let mut has_content = false;
        for event in &piece.events {
            match event {
                Event::Counted(tokens) if is_plausible(*tokens) => self.counted = Some(*tokens),
                Event::Counted(tokens) => {
                    tracing::warn!(?tokens, "a count that cannot be true is not believed");
                }
                Event::Delta { text, .. } => self.bytes += text.len() as u64,
                Event::Finished { .. } => self.is_finished = true,
                _ => {}
            }
            has_content |= event.is_content();
        }
        has_content
    }

    /// What the provider counted, or what came by our own estimate: nothing where nothing came.
    pub(crate) fn tokens(&self) -> Tokens {
        let output = self.bytes.div_ceil(BYTES_PER_TOKEN);
        match self.counted {
            Some(counted) if self.is_finished => counted,
            Some(counted) => Tokens {
                output: counted.output.max(output),
                ..counted
            },
            None if self.bytes == 0 && !self.is_finished => Tokens::default(),
            None => Tokens {
                input: self.input_estimate,
                output,
                ..Tokens::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_inference::FinishReason;

    #[test]
    fn the_providers_count_wins_and_a_cut_answer_is_estimated() {
        let mut meter = Meter::new(10);
        assert_eq!(meter.tokens(), Tokens::default());
        let piece = |events| Piece {
            events,
            ..Piece::default()
        };
        let text = |text: &str| Event::Delta {
            part: 0,
            text: text.to_owned(),
        };
        assert!(meter.add(&piece(vec![text("12345678")])));
        let estimated = (meter.tokens().input, meter.tokens().output);
        assert_eq!(estimated, (10, 2));
        let counted = Tokens {
            input: 7,
            output: 1,
            ..Tokens::default()
        };
        meter.add(&piece(vec![Event::Counted(counted)]));
        assert_eq!((meter.tokens().input, meter.tokens().output), (7, 2));
        let reason = FinishReason::Stop;
        meter.add(&piece(vec![Event::Finished { reason, stop: None }]));
        assert_eq!(meter.tokens(), counted);
    }

    #[test]
    fn a_count_that_cannot_be_true_is_estimated() {
        let mut meter = Meter::new(10);
        let absurd = Tokens {
            input: u64::MAX,
            output: 1,
            ..Tokens::default()
        };
        let reason = FinishReason::Stop;
        meter.add(&Piece {
            events: vec![
                Event::Counted(absurd),
                Event::Finished { reason, stop: None },
            ],
            ..Piece::default()
        });
        assert_eq!((meter.tokens().input, meter.tokens().output), (10, 0));
    }
}
