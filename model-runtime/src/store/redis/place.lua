-- protocol::place: KEYS[1]; token, lifetime
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = now + tonumber(ARGV[2])
local entry = redis.call('GET', KEYS[1]) or ''
local flag, expires, owners = '0', deadline, {}
if string.sub(entry, 1, 1) == 'W' then
  if #entry > 1 then
    flag = string.sub(entry, 2, 2)
  end
  if flag == '2' then
    expires = math.max(expires, now + redis.call('PTTL', KEYS[1]))
  else
    for at = 3, #entry - 28, 29 do
      local digits = string.sub(entry, at + 16, at + 28)
      local other = string.match(digits, '^%d+$') and tonumber(digits) or 0
      if other > now and string.sub(entry, at, at + 15) ~= ARGV[1] then
        owners[#owners + 1] = string.sub(entry, at, at + 28)
        flag = '1'
        expires = math.max(expires, other)
      end
    end
  end
end
if flag == '2' or #owners >= 16 then
  entry = 'W2'
else
  entry = 'W' .. flag .. table.concat(owners) .. ARGV[1] .. string.format('%013.0f', deadline)
end
redis.call('SET', KEYS[1], entry, 'PX', string.format('%.0f', expires - now))
return 1
