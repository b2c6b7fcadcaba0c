use super::look;
use crate::task::park;
use husk_abi::control::{Kind, Record, Request, Verb};
use husk_machine::control::{feed, take_sent};

fn answers() -> Vec<(Kind, u64)> {
    take_sent()
        .iter()
        .map(|message| Record::from_bytes(message).expect("every answer is a record"))
        .map(|(record, _)| (record.kind, record.a))
        .collect()
}

#[test]
fn a_resume_is_answered_with_its_value() {
    feed(&Request { verb: Verb::Resume, value: 77 }.to_bytes());
    look();
    assert_eq!(answers(), [(Kind::Resumed, 77)]);
    assert!(!park::is_wanted());
}

#[test]
fn a_park_stops_the_guest_until_a_resume() {
    feed(&Request { verb: Verb::Park, value: 0 }.to_bytes());
    look();
    assert!(park::is_wanted());
    assert_eq!(answers(), []);
    super::serve();
    assert_eq!(answers().first().map(|(kind, _)| *kind), Some(Kind::Parked));
    feed(&Request { verb: Verb::Resume, value: 5 }.to_bytes());
    super::serve();
    assert_eq!(answers(), [(Kind::Resumed, 5)]);
    assert!(!park::is_wanted());
}

/// Whatever arrives is answered, and the next request is still understood.
#[test]
fn messages_that_are_no_requests_fail_and_harm_nothing() {
    let mut seed = 0x9e37_79b9_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize % below
    };
    for round in 0..5000 {
        let mut message = Request { verb: Verb::Resume, value: round }.to_bytes().to_vec();
        message.resize(1 + random(40), 0);
        for _ in 0..random(4) {
            let at = random(message.len());
            // Not a verb that ends the guest, and not one that parks it.
            message[at] = if at == 4 { 9 } else { random(256) as u8 };
        }
        let understood = Request::from_bytes(&message).is_some();
        feed(&message);
        feed(&Request { verb: Verb::Resume, value: 1 << 40 }.to_bytes());
        look();
        let answers = answers();
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[0].0, if understood { Kind::Resumed } else { Kind::Failed });
        assert_eq!(answers[1], (Kind::Resumed, 1 << 40));
    }
}
