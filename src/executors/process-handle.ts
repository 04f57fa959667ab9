import { readdir, readFile } from 'node:fs/promises'
import { z } from 'zod'
import type { Json } from '../model/storable.ts'

/**
 * Names a process group, even after the process that started it has died. The operating system reuses process ids. So
 * the handle also has the start time of the group's first process, in ticks since the machine started, and the boot id,
 * which changes at each start of the machine. Together these never name another group.
 */
const handleSchema = z.object({ group: z.int(), startedAt: z.string().nullable(), boot: z.string().nullable() })

/** The handle of a process that leads a group of its own. */
export async function processHandle(group: number): Promise<Json> {
  const [stat, boot] = await Promise.all([statOf(group), bootId()])
  return { group, startedAt: stat?.startedAt ?? null, boot }
}

/**
 * Whether all processes of the group have ended. Processes that have left the group (`setsid`) are not seen. True also
 * for a group of another machine, or from before a restart of this one.
 */
export async function isGroupGone(handle: Json): Promise<boolean> {
  const parsed = handleSchema.safeParse(handle)
  if (!parsed.success) return true
  const { group, startedAt, boot } = parsed.data
  if (boot !== (await bootId())) return true
  if (!doesGroupExist(group)) return true
  const leader = await statOf(group)
  if (leader !== undefined && startedAt !== null && leader.startedAt !== startedAt) return true
  // Without /proc, a process that has ended and was not yet reaped counts as running.
  return startedAt !== null && (await hasOnlyEnded(group))
}

/** Sends a signal to every process of a group. */
export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // The group has already ended, so there is nothing to signal.
  }
}

function doesGroupExist(group: number): boolean {
  try {
    process.kill(-group, 0)
    return true
  } catch (error) {
    // EPERM: the group belongs to another user, so it is not one of ours.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH' && (error as NodeJS.ErrnoException).code !== 'EPERM'
  }
}

async function hasOnlyEnded(group: number): Promise<boolean> {
  const ids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  const stats = await Promise.all(ids.map((id) => statOf(Number(id))))
  return !stats.some((stat) => stat?.group === group && stat.state !== 'Z' && stat.state !== 'X')
}

interface Stat {
  readonly state: string
  readonly group: number
  /** When the process started, in ticks since the machine started. */
  readonly startedAt: string
}

// The fields are read after the last bracket. The name of the program is in brackets before them, and may contain
// anything.
async function statOf(id: number): Promise<Stat | undefined> {
  const text = await readFile(`/proc/${id}/stat`, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const [state = '', , group, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state, group: Number(group), startedAt: rest[16] ?? '' }
}

async function bootId(): Promise<string | null> {
  return await readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => null,
  )
}
