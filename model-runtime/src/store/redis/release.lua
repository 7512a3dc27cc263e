-- protocol::release, of each key; token
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Whether the intent had been lost, as 1 or 0.
local function release(key)
  local entry = redis.call('GET', key)
  if not entry then
    return 1
  end
  if string.sub(entry, 1, 1) ~= 'W' then
    redis.call('DEL', key)
    return 1
  end
  if string.sub(entry, 2, 2) == '2' then
    return 0
  end
  -- Most intents are alone.
  if #entry == 31 and string.sub(entry, 3, 18) == ARGV[1] and string.match(entry, '^%d+$', 19) then
    redis.call('DEL', key)
    return 0
  end
  local owners, lost = {}, 1
  for at = 3, #entry - 28, 29 do
    local digits = string.sub(entry, at + 16, at + 28)
    local deadline = string.match(digits, '^%d+$') and tonumber(digits)
    if string.sub(entry, at, at + 15) == ARGV[1] then
      if deadline then
        lost = 0
      end
    elseif deadline and deadline > now then
      owners[#owners + 1] = string.sub(entry, at, at + 28)
    end
  end
  if #owners == 0 then
    redis.call('DEL', key)
  else
    redis.call('SET', key, 'W1' .. table.concat(owners), 'KEEPTTL')
  end
  return lost
end

local lost = {}
for i, key in ipairs(KEYS) do
  lost[i] = release(key)
end
return lost
