use starvault_rules::{Color, Command, EventKind, Reason, Rejection};

use crate::table::Table;

const YES: Command = Command::AnswerDraw { accept: true };
const NO: Command = Command::AnswerDraw { accept: false };

#[test]
fn an_offer_stays_open_until_the_other_side_moves() {
    let mut table = Table::new();
    table.give(Color::White, &Command::OfferDraw).unwrap();
    table.play("e2e4").unwrap();
    assert_eq!(table.game.draw_offered_by(), Some(Color::White));
    table.play("e7e5").unwrap();
    assert_eq!(table.game.draw_offered_by(), None);
    assert_eq!(table.give(Color::Black, &YES), Err(Rejection::NoDrawOffer));
}

#[test]
fn only_the_other_side_can_answer() {
    let mut table = Table::new();
    assert_eq!(table.give(Color::White, &YES), Err(Rejection::NoDrawOffer));
    table.give(Color::White, &Command::OfferDraw).unwrap();
    assert_eq!(table.give(Color::White, &YES), Err(Rejection::NoDrawOffer));
    assert_eq!(table.give(Color::White, &NO), Err(Rejection::NoDrawOffer));
    let said = table.give(Color::Black, &NO).unwrap();
    assert_eq!(said[0].kind, EventKind::DrawDeclined { by: Color::Black });
    assert_eq!(table.game.draw_offered_by(), None);
}

#[test]
fn one_offer_per_side_until_its_next_move() {
    let mut table = Table::new();
    table.give(Color::White, &Command::OfferDraw).unwrap();
    assert_eq!(
        table.give(Color::White, &Command::OfferDraw),
        Err(Rejection::DrawAlreadyOffered)
    );
    table.give(Color::Black, &NO).unwrap();
    assert_eq!(
        table.give(Color::White, &Command::OfferDraw),
        Err(Rejection::DrawAlreadyOffered)
    );
    table.play("e2e4").unwrap();
    table.give(Color::White, &Command::OfferDraw).unwrap();
}

#[test]
fn offers_from_both_sides_agree() {
    let mut table = Table::new();
    table.give(Color::Black, &Command::OfferDraw).unwrap();
    table.give(Color::White, &Command::OfferDraw).unwrap();
    assert_eq!(table.game.outcome().unwrap().reason, Reason::Agreement);
}
