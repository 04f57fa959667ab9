import type { Storage } from '../../src/index.ts'
import type { Changeset, StorageConnection, Write } from '../../src/port/index.ts'

/**
 * A storage that announces its place around the writes that a test may want to kill: `… unwritten` before the inner
 * write, and `… written` after it, before any answer.
 */
export function pointedStorage(inner: Storage, reach: (point: string) => void): Storage {
  return {
    open: async (host) => {
      const connection = await inner.open(host)
      const around = async <Result>(points: readonly string[], write: () => Promise<Result>): Promise<Result> => {
        for (const point of points) reach(`${point} unwritten`)
        const result = await write()
        for (const point of points) reach(`${point} written`)
        return result
      }
      const commit: StorageConnection['commit'] = (changesets, claim) =>
        around(changesets.length === 0 ? ['claim'] : pointsOf(changesets), () => connection.commit(changesets, claim))
      const forget: StorageConnection['forget'] = (id) => around(['forget'], () => connection.forget(id))
      return { ...connection, commit, forget }
    },
  }
}

function pointsOf(changesets: readonly Changeset[]): readonly string[] {
  return changesets.flatMap(({ writes }) => writes.flatMap((write) => pointOf(write) ?? []))
}

function pointOf(write: Write): string | undefined {
  if (write.op === 'insert') return 'submit'
  if (write.op === 'update' && write.events.events.some(({ type }) => type === 'task.lost')) return 'loss'
  if (write.op === 'update' && write.job.phase === 'settled') return 'end'
  if (write.op === 'note' && write.note.kind === 'step') return `record of ${write.note.name}`
  return undefined
}
