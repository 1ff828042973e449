//! A position in Forsyth-Edwards notation. The engine writes the same by way of a formatter, a
//! square at a time; this is done twice for each move of every game.

use cozy_chess::{Board, Color, Piece};

/// Longer than any position but those with counters of many digits.
const BYTES: usize = 96;

pub(super) fn written(board: &Board) -> String {
    let mut text = String::with_capacity(BYTES);
    let squares = squares(board);
    for rank in (0..8).rev() {
        let mut empty = 0_u8;
        for piece in &squares[8 * rank..8 * rank + 8] {
            if *piece == 0 {
                empty += 1;
                continue;
            }
            if empty > 0 {
                text.push(char::from(b'0' + empty));
                empty = 0;
            }
            text.push(char::from(*piece));
        }
        if empty > 0 {
            text.push(char::from(b'0' + empty));
        }
        text.push(if rank > 0 { '/' } else { ' ' });
    }
    text.push(match board.side_to_move() {
        Color::White => 'w',
        Color::Black => 'b',
    });
    text.push(' ');
    let (white, black) = (
        board.castle_rights(Color::White),
        board.castle_rights(Color::Black),
    );
    let rights = [
        (white.short, 'K'),
        (white.long, 'Q'),
        (black.short, 'k'),
        (black.long, 'q'),
    ];
    if rights.iter().all(|(right, _)| right.is_none()) {
        text.push('-');
    }
    text.extend(
        rights
            .iter()
            .filter(|(right, _)| right.is_some())
            .map(|(_, name)| name),
    );
    text.push(' ');
    match board.en_passant() {
        None => text.push('-'),
        Some(file) => {
            text.push(char::from(b'a' + file as u8));
            // The square behind the pawn that has just moved.
            text.push(match board.side_to_move() {
                Color::White => '6',
                Color::Black => '3',
            });
        }
    }
    text.push(' ');
    push_number(&mut text, board.halfmove_clock().into());
    text.push(' ');
    push_number(&mut text, board.fullmove_number());
    text
}

/// The letter of the piece on each square, a1 first; 0 for an empty one.
fn squares(board: &Board) -> [u8; 64] {
    let mut squares = [0; 64];
    for (piece, letter) in Piece::ALL.into_iter().zip(*b"pnbrqk") {
        for square in board.pieces(piece) {
            squares[square as usize] = letter;
        }
    }
    for square in board.colors(Color::White) {
        squares[square as usize].make_ascii_uppercase();
    }
    squares
}

fn push_number(text: &mut String, number: u16) {
    if number >= 10 {
        push_number(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(board: &Board) {
        assert_eq!(written(board), board.to_string());
    }

    #[test]
    fn it_is_what_the_engine_writes() {
        for fen in [
            "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
            "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b Kq - 7 65535",
            "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",
            "8/2p5/3p4/KP5r/1R2Pp1k/8/6P1/8 b - e3 0 1",
            "k7/8/8/8/8/8/8/K6R w - - 99 80",
        ] {
            check(&Board::from_fen(fen, false).unwrap());
        }
    }

    #[test]
    fn it_is_so_in_every_position_of_many_games() {
        let mut seed = 1_u64;
        for _ in 0..50 {
            let mut board = Board::startpos();
            for _ in 0..150 {
                let mut moves = Vec::new();
                board.generate_moves(|of_piece| {
                    moves.extend(of_piece);
                    false
                });
                // Knuth's generator: the same games in every run.
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let Some(mv) = moves.get((seed >> 33) as usize % moves.len().max(1)) else {
                    break;
                };
                board.play_unchecked(*mv);
                check(&board);
            }
        }
    }
}
