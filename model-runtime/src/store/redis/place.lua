-- protocol::place, of each key; token, lifetime
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = now + tonumber(ARGV[2])
-- No intent lives longer than a day.
local last = now + 86400000
local own = ARGV[1] .. string.format('%013.0f', deadline)

-- Adds the own intent to those that stand there.
local function merge(key, entry, lifetime)
  local flag, expires, owners = '0', deadline, {}
  if #entry > 1 then
    flag = string.sub(entry, 2, 2)
  end
  if flag == '2' then
    expires = math.max(expires, math.min(last, now + lifetime))
  else
    for at = 3, #entry - 28, 29 do
      local digits = string.sub(entry, at + 16, at + 28)
      local other = string.match(digits, '^%d+$') and tonumber(digits) or 0
      if other > now and other <= last and string.sub(entry, at, at + 15) ~= ARGV[1] then
        owners[#owners + 1] = string.sub(entry, at, at + 28)
        flag = '1'
        expires = math.max(expires, other)
      end
    end
  end
  if flag == '2' or #owners >= 16 then
    entry = 'W2'
  else
    entry = 'W' .. flag .. table.concat(owners) .. own
  end
  redis.call('SET', key, entry, 'PX', string.format('%.0f', expires - now))
end

local alone = 'W0' .. own
for _, key in ipairs(KEYS) do
  -- A row that is not cached, as most of a bulk write are, takes one call; a row that is, may be long and is not read.
  if not redis.call('SET', key, alone, 'PX', ARGV[2], 'NX') then
    if redis.call('GETRANGE', key, 0, 0) == 'W' then
      merge(key, redis.call('GET', key), redis.call('PTTL', key))
    else
      redis.call('SET', key, alone, 'PX', ARGV[2])
    end
  end
end
return 1
