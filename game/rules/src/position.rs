//! The board: pieces, HP and what the draw rules remember. Owns every use of `cozy-chess` and its
//! king-takes-rook form of castling, which is never seen outside this file. Knows no clock and no
//! player.

mod fen;

use cozy_chess::{Board, File, GameStatus, Move, Piece, Square, util};

use crate::{
    event::{Outcome, Reason},
    setup::{Color, Hp},
    text::MoveText,
};

/// `e7e8q` is the longest move; anything longer is refused unread.
const UCI_BYTES_MAX: usize = 5;

/// A text that is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a chess position: {why} (in {fen:?})")]
pub struct PositionError {
    pub fen: String,
    pub why: String,
}

/// A position of three-check chess.
#[derive(Clone, Debug)]
pub struct Position {
    board: Board,
    hp: [Hp; 2],
    /// The positions since the last capture or pawn move, the present one last. None of the earlier
    /// ones can come back, so this holds at most 101.
    reachable: Vec<(Board, [Hp; 2])>,
}

/// What a legal move did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Played {
    pub uci: MoveText,
    pub san: MoveText,
    pub check: bool,
}

impl Position {
    pub fn start() -> Position {
        Position::of(Board::startpos(), [Hp::FULL; 2])
    }

    /// A position from Forsyth-Edwards notation, both kings in full health, with no history.
    pub fn from_fen(fen: &str) -> Result<Position, PositionError> {
        match Board::from_fen(fen, false) {
            Ok(board) => Ok(Position::of(board, [Hp::FULL; 2])),
            Err(error) => Err(PositionError {
                fen: fen.into(),
                why: error.to_string(),
            }),
        }
    }

    fn of(board: Board, hp: [Hp; 2]) -> Position {
        Position {
            reachable: vec![(board.clone(), hp)],
            board,
            hp,
        }
    }

    pub fn fen(&self) -> String {
        fen::written(&self.board)
    }

    pub fn to_move(&self) -> Color {
        from_engine(self.board.side_to_move())
    }

    pub fn hp(&self, color: Color) -> Hp {
        self.hp[color.index()]
    }

    pub fn in_check(&self) -> bool {
        !self.board.checkers().is_empty()
    }

    /// As [`Self::legal_moves`], as texts of their own.
    pub fn legal_moves_uci(&self) -> Vec<String> {
        self.legal_moves()
            .iter()
            .map(|uci| uci.as_str().to_owned())
            .collect()
    }

    /// Every legal move of the side to move, in UCI, sorted; empty once the game has ended here.
    pub fn legal_moves(&self) -> Vec<MoveText> {
        if self.end().is_some() {
            return Vec::new();
        }
        // Sorted as numbers: this is done for every move of every game.
        let mut moves = Vec::with_capacity(48);
        let own = self.board.colors(self.board.side_to_move());
        self.board.generate_moves(|of_piece| {
            let is_king = of_piece.piece == Piece::King;
            moves.extend(
                of_piece
                    .into_iter()
                    .map(|mv| uci_number(mv, is_king && own.has(mv.to))),
            );
            false
        });
        moves.sort_unstable();
        let text = |number: u64| {
            let [from_file, from_rank, to_file, to_rank, promotion, ..] = number.to_be_bytes();
            MoveText::uci([from_file, from_rank, to_file, to_rank, promotion])
        };
        moves.into_iter().map(text).collect()
    }

    /// Plays a legal move; `None`, and nothing changes, for any other text.
    pub(crate) fn play(&mut self, uci: &str) -> Option<Played> {
        let mv = self.legal_move(uci)?;
        let uci = MoveText::new(uci)?;
        let san = MoveText::new(&util::display_san_move(&self.board, mv).to_string())?;
        self.board.play_unchecked(mv);
        let check = self.in_check();
        if check {
            // However many pieces give it, one check costs one HP.
            let checked = self.to_move().index();
            self.hp[checked] = self.hp[checked].hit();
        }
        if self.board.halfmove_clock() == 0 {
            self.reachable.clear();
        }
        self.reachable.push((self.board.clone(), self.hp));
        Some(Played { uci, san, check })
    }

    fn legal_move(&self, uci: &str) -> Option<Move> {
        if uci.len() > UCI_BYTES_MAX {
            return None;
        }
        let mv = util::parse_uci_move(&self.board, uci).ok()?;
        // The second half refuses the engine's own form of castling, so that a move has one name.
        (self.board.is_legal(mv) && util::display_uci_move(&self.board, mv).to_string() == uci).then_some(mv)
    }

    /// How the game ends by the position alone. Mate goes before the third check that gives it,
    /// and both before the drawing rules.
    pub fn end(&self) -> Option<Outcome> {
        let mover = self.to_move().other();
        let won = |reason| {
            Some(Outcome {
                winner: Some(mover),
                reason,
            })
        };
        let drawn = |reason| Some(Outcome { winner: None, reason });
        // The engine answers "drawn" for stalemate and for fifty moves: the checks below tell.
        let can_move = self.board.generate_moves(|_| true);
        match self.board.status() {
            GameStatus::Won => won(Reason::Checkmate),
            _ if self.hp(self.to_move()).is_gone() => won(Reason::ThreeChecks),
            _ if !can_move => drawn(Reason::Stalemate),
            _ if self.times_here() >= 3 => drawn(Reason::Repetition),
            _ if self.board.halfmove_clock() >= 100 => drawn(Reason::FiftyMoves),
            _ => None,
        }
    }

    /// How often this position was on the board: same pieces, side to move, castling rights, en
    /// passant where it can be taken, and the same HP of both kings.
    fn times_here(&self) -> usize {
        let same = |(board, hp): &&(Board, [Hp; 2])| *hp == self.hp && board.same_position(&self.board);
        self.reachable.iter().filter(same).count()
    }

    /// Leaves of the tree of legal moves, ends by HP or repetition not regarded: the field's check
    /// of a move generator.
    pub fn perft(&self, depth: u32) -> u64 {
        fn count(board: &Board, depth: u32) -> u64 {
            if depth == 0 {
                return 1;
            }
            let mut leaves = 0;
            board.generate_moves(|of_piece| {
                for mv in of_piece {
                    let mut next = board.clone();
                    next.play_unchecked(mv);
                    leaves += count(&next, depth - 1);
                }
                false
            });
            leaves
        }
        count(&self.board, depth)
    }
}

/// A move in UCI, padded with zeros, as a number: numbers are in the order of their texts.
/// `castles`: it is the engine's king-takes-rook.
fn uci_number(mv: Move, castles: bool) -> u64 {
    let to_file = match castles {
        true if mv.to.file() > mv.from.file() => File::G,
        true => File::C,
        false => mv.to.file(),
    };
    let promotion = match mv.promotion {
        None => 0,
        Some(Piece::Knight) => b'n',
        Some(Piece::Bishop) => b'b',
        Some(Piece::Rook) => b'r',
        Some(_) => b'q',
    };
    let (file, rank) = (
        |file: File| b'a' + file as u8,
        |square: Square| b'1' + square.rank() as u8,
    );
    u64::from_be_bytes([
        file(mv.from.file()),
        rank(mv.from),
        file(to_file),
        rank(mv.to),
        promotion,
        0,
        0,
        0,
    ])
}

fn from_engine(color: cozy_chess::Color) -> Color {
    match color {
        cozy_chess::Color::White => Color::White,
        cozy_chess::Color::Black => Color::Black,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(fen: &str, moves: &str) -> Position {
        let mut position = Position::from_fen(fen).unwrap();
        for uci in moves.split_whitespace() {
            assert_eq!(position.end(), None, "before {uci}");
            position
                .play(uci)
                .unwrap_or_else(|| panic!("{uci} in {}", position.fen()));
        }
        position
    }

    const ROOK: &str = "k7/8/8/8/8/8/8/K6R w - - 0 1";

    #[test]
    fn a_position_with_other_hp_is_another_position() {
        let quiet = "h1g1 a8b8 g1h1 b8a8";
        let with_check = "h1h8 a8b7 h8h1 b7a8";
        let twice = after(ROOK, quiet);
        assert_eq!(twice.times_here(), 2);
        let once = after(ROOK, &format!("{quiet} {with_check}"));
        assert_eq!((once.times_here(), once.hp(Color::Black).points()), (1, 2));
        let drawn = after(ROOK, &format!("{with_check} {quiet} {quiet}"));
        assert_eq!(
            drawn.end(),
            Some(Outcome {
                winner: None,
                reason: Reason::Repetition
            })
        );
    }

    #[test]
    fn en_passant_makes_another_position_only_where_it_can_be_taken() {
        let shuffle = "b8c6 b1c3 c6b8 c3b1";
        // After e2e4 no black pawn can take: the position without the mark is the same.
        let same = after(
            "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
            &format!("e2e4 {shuffle}"),
        );
        assert_eq!(same.times_here(), 2);
        let other = after(
            "rnbqkbnr/ppp1pppp/8/8/3p4/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
            &format!("e2e4 {shuffle}"),
        );
        assert_eq!(other.times_here(), 1);
    }

    #[test]
    fn fifty_moves_draw_and_mate_on_the_last_of_them_wins() {
        let drawn = after("k7/8/8/8/8/8/8/K6R w - - 99 80", "h1g1");
        assert_eq!(
            drawn.end(),
            Some(Outcome {
                winner: None,
                reason: Reason::FiftyMoves
            })
        );
        let mated = after("k7/8/1K6/8/8/8/8/7R w - - 99 80", "h1h8");
        assert_eq!(
            mated.end(),
            Some(Outcome {
                winner: Some(Color::White),
                reason: Reason::Checkmate
            })
        );
    }

    #[test]
    fn legal_moves_are_written_as_the_engine_reads_them() {
        let fens = [
            "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1",
            "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R w KQkq - 0 1",
            "r3k2r/p1ppqpb1/bn2pnp1/3PN3/1p2P3/2N2Q1p/PPPBBPPP/R3K2R b KQkq - 0 1",
            "8/2p5/3p4/KP5r/1R3p1k/8/4P1P1/8 w - - 0 1",
            "r3k2r/Pppp1ppp/1b3nbN/nP6/BBP1P3/q4N2/Pp1P2PP/R2Q1RK1 w kq - 0 1",
            "n1n5/PPPk4/8/8/8/8/4Kppp/5N1N b - - 0 1",
            "rnbqkbnr/ppp1p1pp/8/3pPp2/8/8/PPPP1PPP/RNBQKBNR w KQkq f6 0 3",
        ];
        for fen in fens {
            let position = Position::from_fen(fen).unwrap();
            let mut expect = Vec::new();
            position.board.generate_moves(|of_piece| {
                for mv in of_piece {
                    expect.push(util::display_uci_move(&position.board, mv).to_string());
                }
                false
            });
            expect.sort_unstable();
            let found = position.legal_moves_uci();
            assert_eq!(found, expect, "{fen}");
            assert!(
                found.iter().all(|uci| position.clone().play(uci).is_some()),
                "{fen}"
            );
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for fen in ["", "8/8/8/8/8/8/8/8 w - - 0 1", "not a position"] {
            assert!(Position::from_fen(fen).is_err(), "{fen:?}");
        }
    }
}
