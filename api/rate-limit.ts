/**
 * How often one key may call: so many times in any minute, over all processes, and per address where no valid key is sent.
 * Counted in Redis; while that is away or slow each process counts by itself, so the limit is never open.
 */
import { Redis } from 'ioredis'
import { z } from 'zod'

import type { Log } from '../runtime/log.ts'
import type { Api, Caller } from './api.ts'
import { refusal } from './errors.ts'
import {
  createWindowCounter,
  remainingOf,
  roomInMs,
  type Counted,
  type WindowLimit,
} from './sliding-window.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `none`: not counted at all, for what must never be refused for coming often. */
    rateLimit?: 'none'
  }
}

export type RateLimitOptions = {
  /** Calls a minute. */
  perMinute: number
  /** Where all processes count together; null when each counts by itself. */
  redisUrl: string | null
  /** What its keys in Redis begin with. */
  prefix: string
  /** A request waits no longer than this for Redis, and after that none does for a while. */
  patienceMs?: number
  log: Log
}

const windowMs = 60_000

export function registerRateLimit(
  api: Api,
  { perMinute, redisUrl, prefix, patienceMs = 75, log }: RateLimitOptions,
): void {
  const rule = { limit: perMinute, windowMs }
  const countHere = createWindowCounter(rule)
  const shared = redisUrl === null ? null : countInRedis(rule, { redisUrl, prefix, patienceMs, log })
  api.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.config.rateLimit === 'none') return
    const name = nameOf(request.caller, request.ip)
    const counted = (await shared?.count(name)) ?? countHere(name, Date.now())
    reply.headers({
      'x-ratelimit-limit': perMinute,
      'x-ratelimit-remaining': remainingOf(counted, rule),
      'x-ratelimit-reset': Math.ceil((Date.now() + windowMs - counted.elapsedMs) / 1_000),
    })
    if (!counted.counted) throw tooOften(perMinute, Math.max(1, Math.ceil(roomInMs(counted, rule) / 1_000)))
  })
  api.addHook('onClose', async () => shared?.close())
}

/** One call is counted where there is room, and told how it stands. Redis' clock is everybody's. */
const countScript = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local length, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local window = math.floor(now / length)
local elapsed = now - window * length
local kept = redis.call('hmget', KEYS[1], 'window', 'current', 'previous')
local last = tonumber(kept[1])
local current, previous = 0, 0
if last == window then
  current, previous = tonumber(kept[2]), tonumber(kept[3])
elseif last == window - 1 then
  previous = tonumber(kept[2])
end
local counted = 0
if current + previous * (1 - elapsed / length) <= limit - 1 then
  counted, current = 1, current + 1
  redis.call('hset', KEYS[1], 'window', window, 'current', current, 'previous', previous)
  redis.call('pexpire', KEYS[1], 2 * length)
end
return {counted, current, previous, elapsed}`

const countReply = z.tuple([z.number(), z.number(), z.number(), z.number()])

const distrustMs = 2_000

/** Shape: connects when first asked; null, at once or after `patienceMs`, where Redis does not count. */
function countInRedis(
  { limit, windowMs }: WindowLimit,
  { redisUrl, prefix, patienceMs, log }: { redisUrl: string; prefix: string; patienceMs: number; log: Log },
): { count: (name: string) => Promise<Counted | null>; close: () => void } {
  const redis = new Redis(redisUrl, {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: patienceMs,
    connectTimeout: 1_000,
    retryStrategy: (tries) => Math.min(100 * tries, distrustMs),
  })
  redis.on('error', (error) => log.debug({ err: error }, 'rate limit: Redis connection error'))
  let distrustedUntil = 0
  let isAway = false

  const turnAway = (error: unknown): null => {
    distrustedUntil = performance.now() + distrustMs
    if (!isAway) log.warn({ err: error }, 'rate limit: Redis does not count; each process counts by itself')
    isAway = true
    return null
  }

  return {
    count: async (name) => {
      if (redis.status === 'wait') redis.connect().catch(turnAway)
      if (redis.status !== 'ready' || performance.now() < distrustedUntil) return null
      try {
        const reply = await redis.eval(countScript, 1, `${prefix}:rate:${name}`, windowMs, limit)
        const [counted, current, previous, elapsedMs] = countReply.parse(reply)
        if (isAway) log.info('rate limit: Redis counts again')
        isAway = false
        return { counted: counted === 1, current, previous, elapsedMs }
      } catch (error) {
        return turnAway(error)
      }
    },
    close: () => redis.disconnect(),
  }
}

function nameOf(caller: Caller, ip: string): string {
  if (caller.kind === 'workspace') return `key:${caller.keyId}`
  return caller.kind === 'operator' ? 'operator' : `ip:${networkOf(ip)}`
}

/** An IPv4 address itself; of an IPv6 address the network, because who has one has all of it. */
export function networkOf(ip: string): string {
  const inIpv6 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip)?.[1]
  if (inIpv6 !== undefined || !ip.includes(':')) return inIpv6 ?? ip
  const [head = '', tail] = ip.toLowerCase().split('%', 1).join('').split('::')
  const front = groupsOf(head)
  const back = groupsOf(tail ?? '')
  const gap = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => '0')
  return `${[...front, ...gap, ...back].slice(0, 4).join(':')}::/64`
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':')
}

const tooOften = (perMinute: number, seconds: number) =>
  refusal({
    status: 429,
    code: 'rate_limited',
    message: `More than ${perMinute} calls came within a minute: send this again in ${seconds} s, and fewer after that.`,
    headers: { 'retry-after': String(seconds) },
  })
