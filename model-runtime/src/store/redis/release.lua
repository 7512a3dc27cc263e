-- protocol::release, of each key; token
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entries = redis.call('MGET', unpack(KEYS))
-- What stands under a key by now, false for nothing: a key may be there twice.
local held, gone = {}, {}

-- The entry that is left, false for nothing, and whether the intent had been lost.
local function release(entry)
  if not entry or string.sub(entry, 1, 1) ~= 'W' then
    return false, true
  end
  if string.sub(entry, 2, 2) == '2' then
    return entry, false
  end
  -- Most intents are alone.
  if #entry == 31 and string.sub(entry, 3, 18) == ARGV[1] and string.match(entry, '^%d+$', 19) then
    return false, false
  end
  local owners, lost = {}, true
  for at = 3, #entry - 28, 29 do
    local digits = string.sub(entry, at + 16, at + 28)
    local deadline = string.match(digits, '^%d+$') and tonumber(digits)
    if string.sub(entry, at, at + 15) == ARGV[1] then
      if deadline then
        lost = false
      end
    elseif deadline and deadline > now and deadline <= now + 86400000 then
      owners[#owners + 1] = string.sub(entry, at, at + 28)
    end
  end
  return #owners > 0 and 'W1' .. table.concat(owners), lost
end

-- The places of the keys whose intents had been lost.
local lost = {}
for i, key in ipairs(KEYS) do
  local entry = held[key]
  if entry == nil then
    entry = entries[i]
  end
  local left, was_lost = release(entry)
  held[key] = left
  if was_lost then
    lost[#lost + 1] = i
  end
  if not left then
    gone[#gone + 1] = key
  elseif left ~= entry then
    redis.call('SET', key, left, 'KEEPTTL')
  end
end
if #gone > 0 then
  redis.call('DEL', unpack(gone))
end
return lost
