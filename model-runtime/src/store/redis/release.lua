-- protocol::release: KEYS[1]; token
local entry = redis.call('GET', KEYS[1])
if not entry then
  return 1
end
if string.sub(entry, 1, 1) ~= 'W' then
  redis.call('DEL', KEYS[1])
  return 1
end
if string.sub(entry, 2, 2) == '2' then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
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
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], 'W1' .. table.concat(owners), 'KEEPTTL')
end
return lost
