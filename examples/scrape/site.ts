/** A site on this machine with 2,000 real pages (of dojox and dijit). Some are slow, some fail, and some have moved. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { pagesOf } from './pages.ts'

const PAGES = 2_000

/** What a page does: every 40th is gone, every 25th fails at first, every 20th has moved, and every 50th is slow. */
type Behaviour = 'gone' | 'fails at first' | 'moved' | 'slow' | 'plain'

function behaviourOf(place: number): Behaviour {
  if (place % 40 === 7) return 'gone'
  if (place % 25 === 3) return 'fails at first'
  if (place % 20 === 11) return 'moved'
  return place % 50 === 19 ? 'slow' : 'plain'
}

/** The site while it runs. */
export interface Site {
  readonly urls: readonly string[]
  /** How many requests are answered at once, at most, so far. */
  readonly busiest: () => number
  /** Puts back the pages that are gone. */
  readonly repair: () => void
  readonly close: () => Promise<void>
}

/** Starts the site. */
export async function startSite(): Promise<Site> {
  const files = (await pagesOf('dojox', 'dijit')).slice(0, PAGES)
  const failed = new Set<number>()
  let isRepaired = false
  let open = 0
  let most = 0
  const server = createServer(async (request, response) => {
    open++
    most = Math.max(most, open)
    response.once('close', () => open--)
    const [, kind, number] = /^\/(pages|moved)\/(\d+)$/.exec(request.url ?? '') ?? []
    const place = Number(number)
    const file = files[place]
    const behaviour = behaviourOf(place)
    if (file === undefined || (behaviour === 'gone' && !isRepaired)) return response.writeHead(404).end()
    if (behaviour === 'moved' && kind === 'pages') return response.writeHead(301, { location: `/moved/${place}` }).end()
    if (behaviour === 'fails at first' && !failed.has(place)) {
      failed.add(place)
      return response.writeHead(503).end()
    }
    if (behaviour === 'slow') await wait(300)
    response.writeHead(200, { 'content-type': 'text/html' }).end(await readFile(file))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    urls: files.map((_, place) => `http://127.0.0.1:${port}/pages/${place}`),
    busiest: () => most,
    repair: () => {
      isRepaired = true
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
