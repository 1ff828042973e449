// Every word that the page shows or speaks, in Chinese and English.
// Owns: the language in use. Never touches the game or the network.

import { preferred } from './keep.js';

const WORDS = {
  // page
  title: ['星穹棋局', 'Starvault'],
  docTitle: ['星穹棋局 · 三将棋', 'Starvault · three-check chess'],
  tagline: ['每位王有三点生命，被将军一次失去一点。', 'Each king has three lives. A check takes one.'],
  language: ['English', '中文'],
  languageLabel: ['切换到英文', 'Switch to Chinese'],
  release: ['服务版本 {release}', 'Served by release {release}'],
  noRelease: ['服务版本未知', 'Release unknown'],
  signOut: ['退出', 'Sign out'],
  // sign-in
  nameLabel: ['你的名字', 'Your name'],
  nameHint: ['最多 24 个字符，可留空', 'Up to 24 characters, or leave it empty'],
  namePlaceholder: ['例如：天枢', 'e.g. Vega'],
  signIn: ['以访客身份进入', 'Play as a guest'],
  signingIn: ['正在进入…', 'Signing in…'],
  guestNote: ['无需注册。关闭此标签页后访客身份即失效。', 'No account needed. Your guest identity lives in this tab.'],
  // lobby
  hello: ['你好，{name}', 'Hello, {name}'],
  find: ['寻找对手', 'Find an opponent'],
  cancel: ['取消', 'Cancel'],
  region: ['地区', 'Region'],
  'region-local': ['本地', 'Local'],
  'region-eu': ['欧洲', 'Europe'],
  'region-asia': ['亚洲', 'Asia'],
  'region-us': ['美国', 'United States'],
  'region-na': ['北美', 'North America'],
  'region-sa': ['南美', 'South America'],
  'region-af': ['非洲', 'Africa'],
  'region-oce': ['大洋洲', 'Oceania'],
  searching: ['正在寻找对手…', 'Looking for an opponent…'],
  searchingIn: ['正在寻找对手 · {region}', 'Looking for an opponent · {region}'],
  waited: ['已等待', 'Waiting for'],
  window: ['等级分 {low} 至 {high}', 'Ratings {low} to {high}'],
  windowAnybody: ['任何等级分', 'Any rating'],
  windowAround: ['在你的 {rating} 分上下 {points} 分', '{points} points either side of your {rating}'],
  anybodyIn: ['范围逐渐放宽，{time} 后接受任何对手', 'It widens; anyone will do in {time}'],
  anybodyNow: ['等待已久，任何对手都可以', 'The wait was long enough: anyone will do'],
  placeKept: ['对手没有到场。你已回到队列，原来的等待时间保留。', 'Your opponent never came. You are back in the queue and keep your place.'],
  // profile
  profileTitle: ['我的档案', 'My profile'],
  level: ['{level} 级', 'Level {level}'],
  levelShort: ['{level} 级', 'Lv {level}'],
  experience: ['经验值', 'Experience'],
  xpOf: ['{xp} / {next} 经验', '{xp} / {next} XP'],
  xpLast: ['{xp} 经验 · 已满级', '{xp} XP · highest level'],
  rating: ['等级分', 'Rating'],
  won: ['胜', 'Won'],
  lost: ['负', 'Lost'],
  drew: ['和', 'Drawn'],
  items: ['物品', 'Items'],
  itemsHint: ['点按即可使用或取下。棋子和徽章对手也能看到。', 'Tap to use or put away. Opponents see your pieces and crest.'],
  noItems: ['升级可获得物品。', 'New levels bring items.'],
  'stage-first-light': ['初光', 'First light'],
  'stage-low-orbit': ['近地轨道', 'Low orbit'],
  'stage-moonrise': ['月升', 'Moonrise'],
  'stage-outer-belt': ['外环', 'Outer belt'],
  'stage-deep-field': ['深空', 'Deep field'],
  'stage-starvault': ['星穹', 'Starvault'],
  'item-board-dusk': ['暮色棋盘', 'Dusk board'],
  'item-board-nebula': ['星云棋盘', 'Nebula board'],
  'item-board-aurora': ['极光棋盘', 'Aurora board'],
  'item-board-eclipse': ['日蚀棋盘', 'Eclipse board'],
  'item-pieces-classic': ['经典棋子', 'Classic pieces'],
  'item-pieces-comet': ['彗星棋子', 'Comet pieces'],
  'item-pieces-crystal': ['水晶棋子', 'Crystal pieces'],
  'item-pieces-nova': ['新星棋子', 'Nova pieces'],
  'item-crest-spark': ['星火徽章', 'Spark crest'],
  'item-crest-orbit': ['轨道徽章', 'Orbit crest'],
  'item-crest-zenith': ['天顶徽章', 'Zenith crest'],
  'item-crest-vault': ['星穹徽章', 'Vault crest'],
  worn: ['使用中', 'in use'],
  wears: ['佩戴：{items}', 'wears {items}'],
  rulesTitle: ['怎样取胜', 'How to win'],
  rule1: ['将军三次：对方的王失去全部三点生命。', 'Give check three times: the other king loses all three lives.'],
  rule2: ['或者将死对方的王。', 'Or checkmate the other king.'],
  rule3: ['其余规则与国际象棋相同。', 'Everything else is chess.'],
  // game
  white: ['白方', 'White'],
  black: ['黑方', 'Black'],
  you: ['你', 'you'],
  board: ['棋盘', 'Chess board'],
  boardHelp: ['方向键移动光标，回车选择棋子与目标格，Esc 取消。', 'Arrow keys move the cursor, Enter picks a piece and its target, Escape cancels.'],
  emptySquare: ['{square}，空', '{square}, empty'],
  pieceSquare: ['{square}，{color}{piece}', '{square}, {color} {piece}'],
  selectedMark: ['，已选中', ', selected'],
  targetMark: ['，可走到此', ', can move here'],
  captureMark: ['，可吃', ', can capture'],
  lastMark: ['，上一步', ', last move'],
  checkMark: ['，被将军', ', in check'],
  hp: ['{color}生命 {hp}/3', '{color}: {hp} of 3 lives'],
  clock: ['{color}时钟 {time}', '{color} clock {time}'],
  lag: ['补时 {ms} 毫秒', '+{ms} ms lag'],
  lagNote: ['上一步有 {ms} 毫秒花在网络上，不计时', '{ms} ms of the last move were spent on the network and not charged'],
  yourTurn: ['轮到你走', 'Your move'],
  theirTurn: ['等待对方走棋', 'Waiting for their move'],
  youAreInCheck: ['你被将军了！剩余 {hp} 点生命', 'You are in check! {hp} of 3 lives left'],
  theyAreInCheck: ['将军！对方剩余 {hp} 点生命', 'Check! They have {hp} of 3 lives left'],
  sending: ['正在送出着法…', 'Sending your move…'],
  moves: ['着法', 'Moves'],
  noMoves: ['尚无着法', 'No moves yet'],
  resign: ['认输', 'Resign'],
  resignAsk: ['确定认输吗？', 'Resign this game?'],
  resignText: ['对局将立即结束，对方获胜。', 'The game ends at once and your opponent wins.'],
  keepPlaying: ['继续下棋', 'Keep playing'],
  offerDraw: ['提和', 'Offer a draw'],
  drawSent: ['已提和', 'Draw offered'],
  drawAsked: ['对方提和', 'Your opponent offers a draw'],
  accept: ['接受', 'Accept'],
  decline: ['拒绝', 'Decline'],
  drawDeclined: ['{color}拒绝了和棋', '{color} declined the draw'],
  drawOfferedBy: ['{color}提议和棋', '{color} offers a draw'],
  present: ['在线', 'connected'],
  absent: ['离线', 'away'],
  absentFor: ['离线 · {time} 后判负', 'away · forfeits in {time}'],
  opponentLeft: ['对方断开连接，{seconds} 秒后判负', 'Your opponent lost connection and forfeits in {seconds} seconds'],
  opponentBack: ['对方已重新连接', 'Your opponent is back'],
  promoteTo: ['升变为', 'Promote to'],
  gameStarted: ['对局开始。你执{color}，对手是 {name}。', 'The game starts. You play {color} against {name}.'],
  gameResumed: ['已回到对局。你执{color}。', 'Back in the game. You play {color}.'],
  // pieces
  p: ['兵', 'pawn'], n: ['马', 'knight'], b: ['象', 'bishop'],
  r: ['车', 'rook'], q: ['后', 'queen'], k: ['王', 'king'],
  // a move in words
  said: ['{color}：{piece}从 {from} 到 {to}', '{color}: {piece} {from} to {to}'],
  saidCapture: ['{color}：{piece}从 {from} 吃 {to}', '{color}: {piece} {from} takes {to}'],
  saidShort: ['{color}：短易位', '{color} castles kingside'],
  saidLong: ['{color}：长易位', '{color} castles queenside'],
  saidPromotes: ['，升变为{piece}', ', promotes to {piece}'],
  saidBareCheck: ['，将军', ', check'],
  saidCheck: ['，将军，{color}剩余 {hp} 点生命', ', check, {color} has {hp} of 3 lives left'],
  // what players say
  emotes: ['说点什么', 'Say something'],
  'emote-GREETING': ['你好！', 'Hello!'],
  'emote-GOOD_MOVE': ['好棋！', 'Good move!'],
  'emote-THINKING': ['容我想想…', 'Thinking…'],
  'emote-OOPS': ['哎呀！', 'Oops!'],
  'emote-THANKS': ['谢谢！', 'Thanks!'],
  'emote-GOOD_GAME': ['下得好！', 'Good game!'],
  emoteSaid: ['{name}：{text}', '{name}: {text}'],
  emotesSlow: ['说得太快了，请稍等', 'That was a lot at once. Wait a moment'],
  mute: ['静音对方', 'Mute opponent'],
  // results
  youWon: ['你赢了', 'You win'],
  youLost: ['你输了', 'You lose'],
  drawn: ['和棋', 'Draw'],
  aborted: ['对局取消', 'Game called off'],
  THREE_CHECKS: ['三次将军：{loser}生命归零', 'Three checks: {loser} has no lives left'],
  CHECKMATE: ['将死', 'Checkmate'],
  RESIGNATION: ['{loser}认输', '{loser} resigned'],
  FLAG: ['{loser}超时', '{loser} ran out of time'],
  STALEMATE: ['逼和：无子可动', 'Stalemate: no legal move'],
  REPETITION: ['三次重复局面', 'Threefold repetition'],
  FIFTY_MOVES: ['五十回合规则', 'Fifty-move rule'],
  AGREEMENT: ['双方同意', 'By agreement'],
  ABANDONED: ['{loser}离开了对局', '{loser} left the game'],
  ABORTED: ['有一方没有到场，本局不计入成绩', 'A player never arrived. It counts for nobody'],
  REASON_UNSPECIFIED: ['对局结束', 'The game has ended'],
  gainRating: ['等级分 {rating}（{by}）', 'Rating {rating} ({by})'],
  gainXp: ['经验 {by}', '{by} XP'],
  gainLevel: ['升到 {level} 级！', 'Level {level} reached!'],
  gainItem: ['获得{item}', 'New: {item}'],
  playAgain: ['新的对手', 'New opponent'],
  rematch: ['再战一局', 'Rematch'],
  rematchSent: ['已邀请再战…', 'Rematch offered…'],
  rematchAsked: ['{name} 邀请再战一局', '{name} wants a rematch'],
  rematchNone: ['没有再战', 'No rematch'],
  toLobby: ['回到大厅', 'To the lobby'],
  viewBoard: ['查看棋盘', 'View the board'],
  // link
  connecting: ['正在连接…', 'Connecting…'],
  reconnecting: ['连接已断开，正在重新连接…', 'Connection lost. Reconnecting…'],
  reconnectIn: ['连接已断开，{seconds} 秒后重试', 'Connection lost. Next try in {seconds} s'],
  relocating: ['对局正在转移到另一台服务器…', 'Your game is moving to another server…'],
  moving: ['服务器正在更新，马上为你接上…', 'The server is being updated. Reconnecting…'],
  retryNow: ['立即重试', 'Retry now'],
  superseded: ['已在另一个窗口中连接', 'You are connected in another window.'],
  takeOver: ['在这里继续', 'Continue here'],
  // errors
  errSignIn: ['无法进入：{message}', 'Could not sign in: {message}'],
  errExpired: ['访客身份已失效，请重新进入。', 'Your guest identity has expired. Please sign in again.'],
  errOffline: ['无法连接服务器', 'the server cannot be reached'],
  errItem: ['无法更换物品：{message}', 'That item stays as it is: {message}'],
  errGone: ['该对局已不存在。', 'That game is gone.'],
  errMove: ['着法未被接受（{code}），请重试。', 'That was not accepted ({code}). Please try again.'],
  NOT_YOUR_TURN: ['还没轮到你', 'not your turn'],
  ILLEGAL_MOVE: ['着法不合规则', 'illegal move'],
  GAME_OVER: ['对局已结束', 'the game is over'],
  SEQUENCE_GAP: ['局面已更新', 'the position has changed'],
  INVALID_ARGUMENT: ['服务器不接受', 'the server does not accept it'],
  NO_DRAW_OFFER: ['和棋提议已失效', 'the draw offer is no longer open'],
  RATE_LIMITED: ['操作太频繁', 'too many requests'],
  UNAVAILABLE: ['服务器暂时繁忙', 'the server is busy'],
  INTERNAL: ['服务器错误', 'server error'],
};

const KEY = 'language';
const INDEX = { zh: 0, en: 1 };

function initial() {
  const chosen = preferred.get(KEY);
  if (chosen in INDEX) return chosen;
  return (navigator.language || 'en').toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

let current = initial();

export const language = () => current;

export function toggleLanguage() {
  current = current === 'zh' ? 'en' : 'zh';
  preferred.set(KEY, current);
}

/** Whether there is a text of this name. */
export const has = (key) => Object.hasOwn(WORDS, key);

/** The text `key` in the language in use, with `{name}` filled in from `values`. */
export function t(key, values = {}) {
  const pair = WORDS[key];
  if (!pair) return key;
  return pair[INDEX[current]].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The name of something that the server calls by an id: `KIND-id` in this table, else the id made readable. */
export function nameOf(kind, id) {
  if (has(`${kind}-${id}`)) return t(`${kind}-${id}`);
  return id.charAt(0).toUpperCase() + id.slice(1).replaceAll(/[-_]/g, ' ');
}

/** Fills every element that names its text: `data-t`, `data-t-label`, `data-t-placeholder`. */
export function applyWords(root = document) {
  document.documentElement.lang = current === 'zh' ? 'zh-CN' : 'en';
  document.title = t('docTitle');
  for (const e of root.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
  for (const e of root.querySelectorAll('[data-t-label]')) e.setAttribute('aria-label', t(e.dataset.tLabel));
  for (const e of root.querySelectorAll('[data-t-placeholder]')) e.setAttribute('placeholder', t(e.dataset.tPlaceholder));
}
