import type { StorageConnection } from 'jobchart'

/** A call of a connection that answers by a promise. */
export type Method = Exclude<keyof StorageConnection, 'changed' | 'close'>

/** Runs a call, or does with it what a test wants. */
export type Pass = <Result>(method: Method, run: () => Promise<Result>) => Promise<Result>

/** A connection whose every call goes through `pass`, whatever calls the port has. */
export function passing(inner: StorageConnection, pass: Pass): StorageConnection {
  const { changed, close, ...calls } = inner
  const passed = Object.entries(calls).map(([name, run]) => {
    // Each takes what its method of the port takes: it is only handed on.
    const call = run as (...given: readonly unknown[]) => Promise<unknown>
    return [name, (...given: readonly unknown[]) => pass(name as Method, () => call(...given))]
  })
  return { ...Object.fromEntries(passed), changed, close } as unknown as StorageConnection
}
