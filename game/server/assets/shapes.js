// What the server says, in the shapes that the page works with.
// Owns: the defaults that ProtoJSON leaves out and 64-bit numbers that come as strings. A field that
// an older release does not send gets a value that hides what depends on it. Keeps nothing.

const COLORS = { WHITE: 'white', BLACK: 'black' };

/** `white`, `black`, or `otherwise` for neither. */
export const colorOf = (name, otherwise = '') => COLORS[name] ?? otherwise;

export const opposite = (color) => (color === 'white' ? 'black' : 'white');

/** A `GameView`. */
export function gameOf(view, nowMs) {
  return {
    gameId: view.gameId,
    sequence: view.sequence ?? 0,
    white: seatOf(view.white),
    black: seatOf(view.black),
    fen: view.fen ?? '8/8/8/8/8/8/8/8 w - - 0 1',
    toMove: colorOf(view.toMove, 'white'),
    legalMoves: view.legalMoves ?? [],
    lastMove: view.lastMove ?? '',
    inCheck: view.inCheck ?? false,
    drawOfferedBy: colorOf(view.drawOfferedBy),
    outcome: view.outcome ? { winner: colorOf(view.outcome.winner), reason: view.outcome.reason ?? 'REASON_UNSPECIFIED' } : null,
    atMs: Number(view.atMs ?? nowMs),
  };
}

function seatOf(seat = {}) {
  return {
    playerId: seat.playerId ?? '',
    name: seat.displayName ?? '',
    rating: seat.rating ?? 0,
    level: seat.level ?? 0, // 0: not said
    equipped: seat.equipped ?? [],
    hp: seat.hp ?? 0,
    clockMs: Number(seat.clockMs ?? 0),
  };
}

/** A `Queued`; `waitMsMax` 0 when its policy was not said. */
export function waitOf(queued, nowMs) {
  return {
    sinceMs: Number(queued.sinceMs ?? nowMs),
    region: queued.region ?? '',
    rating: queued.rating ?? 0,
    windowInitial: queued.windowInitial ?? 0,
    windowGrowthPerSecond: queued.windowGrowthPerSecond ?? 0,
    waitMsMax: queued.waitMsMax ?? 0,
  };
}

/**
 * The window of a wait at a time: rating points to either side, the most that it will reach, and how
 * long until anybody will do. Null when the policy is not known.
 */
export function windowAt(wait, nowMs) {
  if (!wait?.waitMsMax) return null;
  const at = (waitedMs) => Math.floor(wait.windowInitial + (wait.windowGrowthPerSecond * waitedMs) / 1000);
  const waitedMs = Math.max(0, Math.min(nowMs - wait.sinceMs, wait.waitMsMax));
  return { points: at(waitedMs), pointsMax: at(wait.waitMsMax), anybodyInMs: wait.waitMsMax - waitedMs };
}

/** A `Profile`. */
export function profileOf(profile) {
  return {
    playerId: profile.playerId ?? '',
    version: Number(profile.version ?? 0),
    rating: profile.rating ?? 0,
    deviation: profile.ratingDeviation ?? 0, // 0: not said
    gamesPlayed: profile.gamesPlayed ?? 0,
    wins: profile.wins ?? 0,
    losses: profile.losses ?? 0,
    draws: profile.draws ?? 0,
    level: profile.level ?? 0, // 0: not said
    xp: Number(profile.xp ?? 0),
    xpNextLevel: Number(profile.xpNextLevel ?? 0), // 0: none is left
    stage: profile.stage ?? '',
    items: profile.items ?? [],
    equipped: profile.equipped ?? [],
  };
}

/** What one game changed in a profile; null when nothing did. */
export function gainsOf(before, after) {
  if (!before || !after || after.version <= before.version) return null;
  return {
    rating: after.rating,
    ratingBy: after.rating - before.rating,
    xpBy: after.xp - before.xp,
    level: after.level > before.level ? after.level : 0,
    items: after.items.filter((id) => !before.items.includes(id)),
  };
}
