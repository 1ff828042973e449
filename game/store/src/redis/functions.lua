#!lua name=starvault1

-- The steps of the journal that must happen whole or not at all. Each touches keys of one slot only.
-- They compare and write; what an answer means is decided in Rust, by the same rule as for every engine.
-- Never change a function that was released: another release may be running beside this one. Add a library.

-- Results of commands. KEYS for each: the game's head and events; then its refusals if the kind is "r"; or its shard's
-- stream of ended games and its running games if it is "e". ARGV: refusals kept of a game; then for each result: kind ("a"
-- accepted, "e" accepted and the game is over, "r" refused, "n" look only), owner, epoch, expected sequence, player,
-- command, the answer to keep, sequence after it, state digest, number of events, events, and for "e" when and how it ended, and
-- the game.
-- Answers for each what it wrote for: the seat or "-", and the entry of a game that has ended; or, where it wrote nothing,
-- what it found. A game whose keys hold something else fails alone.
local function append(keys, args)
  local answers = {}
  local refusals_max = tonumber(args[1])
  local k, a = 1, 2
  while a <= #args do
    local head, events = keys[k], keys[k + 1]
    local kind, owner, epoch, expected = args[a], args[a + 1], args[a + 2], args[a + 3]
    local player, command, answer, sequence = args[a + 4], args[a + 5], args[a + 6], args[a + 7]
    local state, first = args[a + 8], a + 10
    local last = a + 9 + args[a + 9]
    local more = k + 2
    k, a = more, last + 1
    if kind == 'r' then
      k = k + 1
    elseif kind == 'e' then
      k, a = k + 2, a + 2
    end
    local h
    if player == '' then
      h = redis.pcall('HMGET', head, 'owner', 'epoch', 'sequence', 'white', 'black', 'ended')
    else
      h = redis.pcall('HMGET', head, 'owner', 'epoch', 'sequence', 'white', 'black', 'ended', 'w:' .. command,
        'b:' .. command)
    end
    if h['err'] then
      answers[#answers + 1] = { 'damaged', h['err'] }
    elseif not h[1] then
      answers[#answers + 1] = { 'unknown' }
    else
      local seat, kept = '-', false
      if player ~= '' then
        if player == h[4] then
          seat, kept = 'w', h[7]
        elseif player == h[5] then
          seat, kept = 'b', h[8]
        else
          seat = '?'
        end
      end
      local may = h[1] == owner and h[2] == epoch and h[3] == expected and not kept and seat ~= '?'
      local wrote, failed = false, nil
      if may and kind == 'r' then
        wrote = seat
        if seat ~= '-' then
          local field = seat .. ':' .. command
          local listed = redis.pcall('RPUSH', keys[more], field)
          if type(listed) == 'table' then
            wrote, failed = false, listed['err']
          else
            redis.call('HSET', head, field, answer)
            if listed > refusals_max then
              redis.call('HDEL', head, redis.call('LPOP', keys[more]))
            end
          end
        end
      elseif may and (kind == 'a' or kind == 'e') and not h[6] then
        local cause = '-\n'
        if seat ~= '-' then
          cause = seat .. command .. '\n'
        end
        for i = first, last do
          local pushed = redis.pcall('RPUSH', events, cause .. args[i])
          if type(pushed) == 'table' then
            failed = pushed['err']
            break
          end
        end
        if not failed then
          wrote = seat
          if seat == '-' then
            redis.call('HSET', head, 'sequence', sequence, 'state', state)
          else
            redis.call('HSET', head, 'sequence', sequence, 'state', state, seat .. ':' .. command, answer)
          end
          if kind == 'e' then
            redis.call('HSET', head, 'ended', args[last + 1])
            redis.call('HDEL', keys[more + 1], args[last + 2])
            wrote = seat .. redis.call('XADD', keys[more], '*', 'game', args[last + 2])
          end
        end
      end
      if failed then
        answers[#answers + 1] = { 'damaged', failed }
      else
        answers[#answers + 1] = wrote or { seat, h[1], h[2], h[3], h[4], h[5], h[6] and '1' or '0', kept or '' }
      end
    end
  end
  return answers
end

-- KEYS: head, events, the shard's running games. ARGV: game, owner, white, black, entry, state digest, progress before.
local function create_game(keys, args)
  local h = redis.call('HMGET', keys[1], 'owner', 'never')
  if h[2] then
    return 'never'
  elseif h[1] then
    return 'exists'
  end
  redis.call('HSET', keys[1], 'owner', args[2], 'epoch', '1', 'sequence', '1', 'white', args[3], 'black', args[4],
    'state', args[6], 'before', args[7])
  redis.call('RPUSH', keys[2], args[5])
  redis.call('HSET', keys[3], args[1], args[2])
  return 'created'
end

-- A game whose Redis is lost, as its newest copy has it. KEYS: head, events, the shard's running games. ARGV: game, owner,
-- white, black, state digest, progress before, sequence, entries.
local function restore_game(keys, args)
  if redis.call('EXISTS', keys[1]) == 1 then
    return 0
  end
  redis.call('HSET', keys[1], 'owner', args[2], 'epoch', '1', 'sequence', args[7], 'white', args[3], 'black', args[4],
    'state', args[5], 'before', args[6])
  for i = 8, #args do
    redis.call('RPUSH', keys[2], args[i])
  end
  redis.call('HSET', keys[3], args[1], args[2])
  return 1
end

-- Sees to it that a game that does not exist never will: whoever is about to create it is told. KEYS: head.
-- ARGV: for how long, in milliseconds.
local function forbid_game(keys, args)
  if redis.call('HEXISTS', keys[1], 'owner') == 1 then
    return 0
  end
  redis.call('HSET', keys[1], 'never', '1')
  redis.call('PEXPIRE', keys[1], args[1])
  return 1
end

-- KEYS: head, events, the shard's running games. ARGV: game, new owner.
local function acquire(keys, args)
  local h = redis.call('HMGET', keys[1], 'owner', 'epoch', 'state', 'ended')
  if not h[1] then
    return false
  end
  local epoch = string.format('%d', tonumber(h[2]) + 1)
  redis.call('HSET', keys[1], 'owner', args[2], 'epoch', epoch)
  if not h[4] then
    redis.call('HSET', keys[3], args[1], args[2])
  end
  return { h[1], epoch, h[3], redis.call('LRANGE', keys[2], 0, -1) }
end

-- The end of a game has reached its players. KEYS: the shard's stream, head, events, refusals.
-- ARGV: entry, for how long the game is kept from here on in milliseconds.
local function settle(keys, args)
  redis.call('XACK', keys[1], 'progress', args[1])
  redis.call('XDEL', keys[1], args[1])
  redis.call('HSET', keys[2], 'settled', '1')
  for i = 2, #keys do
    redis.call('PEXPIRE', keys[i], args[2])
  end
  return 1
end

-- An end that cannot be applied goes to the dead letters. KEYS: the shard's stream, its dead letters.
-- ARGV: entry, game, why, how many dead letters are kept.
local function bury(keys, args)
  if redis.call('XLEN', keys[2]) >= tonumber(args[4]) then
    return 0
  end
  redis.call('XADD', keys[2], '*', 'game', args[2], 'why', args[3])
  redis.call('XACK', keys[1], 'progress', args[1])
  redis.call('XDEL', keys[1], args[1])
  return 1
end

-- A dead letter is tried again. KEYS: the shard's stream, its dead letters. ARGV: letter.
local function replay(keys, args)
  local letters = redis.call('XRANGE', keys[2], args[1], args[1])
  if #letters == 0 then
    return 0
  end
  local fields = letters[1][2]
  for i = 1, #fields, 2 do
    if fields[i] == 'game' then
      redis.call('XADD', keys[1], '*', 'game', fields[i + 1])
    end
  end
  return redis.call('XDEL', keys[2], args[1])
end

-- The newest snapshot of a player, at the end of the outbox.
local function keep(outbox, counter, player, id, version, body, digest, at_ms)
  local position = redis.call('INCR', counter)
  redis.call('HSET', player, 'version', version, 'body', body, 'sha256', digest, 'at_ms', at_ms, 'position', position)
  redis.call('ZADD', outbox, position, id)
end

-- KEYS: outbox, its counter, player. ARGV: id, the version before ("0": a new player), version, body, digest, when.
local function put_player(keys, args)
  local version = redis.call('HGET', keys[3], 'version')
  if (version or '0') ~= args[2] then
    return 0
  end
  keep(keys[1], keys[2], keys[3], args[1], args[3], args[4], args[5], args[6])
  return 1
end

-- Puts both players into a game that does not exist yet. KEYS: White, Black. ARGV: game, when.
local function enter(keys, args)
  for i = 1, 2 do
    local p = redis.call('HMGET', keys[i], 'version', 'game', 'since_ms')
    if not p[1] then
      return { 'unknown', tostring(i) }
    elseif p[2] and p[2] ~= args[1] then
      return { 'playing', tostring(i), p[2], p[3] }
    end
  end
  local bodies = { 'entered' }
  for i = 1, 2 do
    redis.call('HSET', keys[i], 'game', args[1], 'since_ms', args[2])
    bodies[i + 1] = redis.call('HGET', keys[i], 'body')
  end
  return bodies
end

-- KEYS: players. ARGV: the game that they leave, if they are in it.
local function leave(keys, args)
  local left = 0
  for i = 1, #keys do
    if redis.call('HGET', keys[i], 'game') == args[1] then
      left = left + redis.call('HDEL', keys[i], 'game', 'since_ms') / 2
    end
  end
  return left
end

-- The game is over: whoever is still in it leaves it with a new profile, once. KEYS: outbox, its counter, White,
-- Black. ARGV: game, when, then for each player id, the version before, version, body, digest. Answers 0, and
-- writes nothing, if a profile has changed meanwhile.
local function finish(keys, args)
  for i = 0, 1 do
    local p = redis.call('HMGET', keys[3 + i], 'game', 'version')
    if p[1] == args[1] and p[2] ~= args[4 + 5 * i] then
      return 0
    end
  end
  for i = 0, 1 do
    local player = keys[3 + i]
    if redis.call('HGET', player, 'game') == args[1] then
      redis.call('HDEL', player, 'game', 'since_ms')
      keep(keys[1], keys[2], player, args[3 + 5 * i], args[5 + 5 * i], args[6 + 5 * i], args[7 + 5 * i], args[2])
    end
  end
  return 1
end

-- Snapshots in the order of their positions. KEYS: outbox. ARGV: what a player's key begins with, position
-- behind which to begin, how many. The players' keys lie in the outbox's slot.
local function outbox(keys, args)
  local ids = redis.call('ZRANGE', keys[1], '(' .. args[2], '+inf', 'BYSCORE', 'LIMIT', 0, args[3])
  local rows = {}
  for i, id in ipairs(ids) do
    local p = redis.call('HMGET', args[1] .. id, 'position', 'version', 'body', 'sha256', 'at_ms')
    rows[i] = { id, p[1] or '', p[2] or '', p[3] or '', p[4] or '', p[5] or '' }
  end
  return rows
end

redis.register_function('sv1_append', append)
redis.register_function('sv1_create_game', create_game)
redis.register_function('sv1_restore_game', restore_game)
redis.register_function('sv1_forbid_game', forbid_game)
redis.register_function('sv1_acquire', acquire)
redis.register_function('sv1_settle', settle)
redis.register_function('sv1_bury', bury)
redis.register_function('sv1_replay', replay)
redis.register_function('sv1_put_player', put_player)
redis.register_function('sv1_enter', enter)
redis.register_function('sv1_leave', leave)
redis.register_function('sv1_finish', finish)
redis.register_function { function_name = 'sv1_outbox', callback = outbox, flags = { 'no-writes' } }
