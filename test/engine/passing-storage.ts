import type { StorageConnection } from 'jobchart/port'

/** A call of a connection that answers by a promise; `claim` is a commit that writes no changeset and only claims. */
export type Method = Exclude<keyof StorageConnection, 'changed' | 'close'> | 'claim'

/** Runs a call, or does with it what a test wants. */
export type Pass = <Result>(method: Method, run: () => Promise<Result>) => Promise<Result>

/** A connection whose every call goes through `pass`, whatever calls the port has. */
export function passing(inner: StorageConnection, pass: Pass): StorageConnection {
  const { changed, close, ...calls } = inner
  const passed = Object.entries(calls).map(([name, run]) => {
    // Each takes what its method of the port takes: it is only handed on.
    const call = run as (...given: readonly unknown[]) => Promise<unknown>
    return [name, (...given: readonly unknown[]) => pass(methodOf(name, given), () => call(...given))]
  })
  return { ...Object.fromEntries(passed), changed, close } as unknown as StorageConnection
}

function methodOf(name: string, [changesets]: readonly unknown[]): Method {
  return name === 'commit' && Array.isArray(changesets) && changesets.length === 0 ? 'claim' : (name as Method)
}
