import type { StorageConnection } from 'jobchart/port'

/** An asynchronous call of a connection; `claim` is a commit that writes no changeset and only claims. */
export type Method = Exclude<keyof StorageConnection, 'changed' | 'close'> | 'claim'

/** Runs a call, or changes it for a test. */
export type Pass = <Result>(method: Method, run: () => Promise<Result>) => Promise<Result>

/** A connection whose every call goes through `pass`. */
export function passing(inner: StorageConnection, pass: Pass): StorageConnection {
  const { changed, close, ...calls } = inner
  const passed = Object.entries(calls).map(([name, run]) => {
    // Each call gets the arguments of its method of the port, unchanged.
    const call = run as (...given: readonly unknown[]) => Promise<unknown>
    return [name, (...given: readonly unknown[]) => pass(methodOf(name, given), () => call(...given))]
  })
  return { ...Object.fromEntries(passed), changed, close } as unknown as StorageConnection
}

function methodOf(name: string, [changesets]: readonly unknown[]): Method {
  return name === 'commit' && Array.isArray(changesets) && changesets.length === 0 ? 'claim' : (name as Method)
}
