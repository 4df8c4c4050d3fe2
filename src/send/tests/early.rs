//! Receivers that answer over HTTP/2 before they have taken the request.

use super::frames::{END_HEADERS, END_STREAM, HEADERS, RST_STREAM, STATUS_204, Talk};
use super::h2::knowing;
use super::*;

/// `SETTINGS_INITIAL_WINDOW_SIZE` of 0: no body may come.
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];
/// `CANCEL`.
const CANCEL: [u8; 4] = [0, 0, 0, 8];

#[test]
fn a_body_that_nobody_takes_is_not_kept() {
    let (address, notes) = receiver(|peer| {
        let mut talk = Talk::greet_with(peer, NO_WINDOW);
        while let Some(frame) = talk.hear() {
            match frame.kind {
                HEADERS => drop(talk.say(HEADERS, END_HEADERS | END_STREAM, frame.stream, STATUS_204)),
                RST_STREAM => {
                    let _ = talk.0.note.send(format!("reset {:?}", frame.payload));
                }
                _ => {}
            }
        }
    });
    on_runtime(async {
        let sender = sender(knowing(options()));
        for _ in 0..3 {
            let outcome = deliver(&sender, &to(address)).await;
            assert_eq!((outcome.error, outcome.status), (None, Some(204)), "the receiver has had its say");
        }
        // The last reset is on its way when the answer is there.
        let mut told = 0;
        while told < 3 {
            told += notes.try_iter().filter(|note| *note == format!("reset {CANCEL:?}")).count();
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(sender.connections().h2.opened, 1);
    });
}
