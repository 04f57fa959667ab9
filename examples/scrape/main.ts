/**
 * Scrapes a site of 2,000 real pages, 20 at once, and watches it live. The run is cancelled once and goes on, the failed
 * pages alone run again, and the report is written.
 *
 *     npm run example examples/scrape/main.ts
 */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createEngine, NonRetryableError } from 'jobchart'
import { batchJobs } from 'jobchart/presets'
import { sqliteStorage } from 'jobchart/sqlite'
import { Agent, interceptors, request } from 'undici'
import { z } from 'zod'
import { startSite } from './site.ts'

const site = await startSite()
const dispatcher = new Agent({ connections: 20 }).compose(interceptors.redirect({ maxRedirections: 3 }))

const scraping = batchJobs({
  type: 'scrape',
  item: z.url(),
  key: (url) => new URL(url).pathname,
  concurrency: 20,
  retry: { limit: 2, backoff: 100 },
  timeout: '10s',
  each: async ({ item, signal }) => {
    const { statusCode, body } = await request(item, { dispatcher, signal })
    const text = await body.text()
    if (statusCode === 404) throw new NonRetryableError('the page is gone')
    if (statusCode !== 200) throw new Error(`the site answered ${statusCode}`)
    const title = /<title>([^<]*)<\/title>/i.exec(text)?.[1]?.trim() ?? ''
    return { title, links: text.match(/<a\s/gi)?.length ?? 0, characters: text.length }
  },
})
const engine = await createEngine({
  jobs: scraping.types,
  policy: scraping.policy,
  storage: sqliteStorage('jobs.db'),
})
const ada = engine.as({ id: 'ada', role: 'editor' })
await ada.pipelines.define(scraping.project({ id: 'pages', list: site.urls, schedulingEnabled: false }))

/** Follows the job until it has ended. Calls `seen` with the finished items of each event. Returns what was seen. */
async function watch(id: string, seen: (finished: number) => void = () => {}) {
  const statuses: string[] = []
  let updates = 0
  for await (const event of ada.events({ job: id, after: 0 })) {
    if (event.type === 'job.progress') {
      updates++
      seen(event.progress.completed + event.progress.failed)
    }
    if ('to' in event && event.to !== statuses.at(-1)) statuses.push(event.to ?? '')
    if ('outcome' in event && event.outcome !== undefined) break
  }
  return { statuses: statuses.join(', '), updates }
}

async function say(what: string, id: string): Promise<void> {
  const { status, progress, trigger } = scraping.present(await ada.get(id))
  console.log(
    `${what}: ${status}, ${progress.finished} of ${progress.total} finished, ${progress.failed} failed, ${trigger}`,
  )
}

// The first run is cancelled when a third is done. What runs goes on to its end.
const first = await ada.pipelines.run('pages')
let isCancelled = false
const { statuses, updates } = await watch(first.id, (finished) => {
  if (finished < 600 || isCancelled) return
  isCancelled = true
  void ada.cancel(first.id)
})
console.log(`first run: ${statuses}; watched live: ${updates > 2 ? 'yes' : 'no'}`)
const cut = await ada.get(first.id)
const { completed = 0, failed = 0, skipped = 0, total } = cut.progress ?? {}
console.log(`it adds up: ${completed + failed + skipped === total && skipped > 0}`)

// The rest runs as a job of its own, which is linked to the first.
const second = await ada.retry(first.id)
console.log(`the rest: ${(await watch(second.id)).statuses}`)
const both = await ada.get(second.id)
console.log(`both together: ${completed + (both.progress?.completed ?? 0)} completed, ${both.progress?.failed} failed`)

// The pages that were gone are put back, and they alone run again.
site.repair()
const third = await ada.retry(second.id, { items: 'failed' })
await watch(third.id)
await say('the failed ones again', third.id)

// One report of all three.
const file = createWriteStream('report.csv')
for await (const part of ada.report(third.id, { format: 'csv' })) if (!file.write(part)) await once(file, 'drain')
file.end()
await once(file, 'close')
const lines = (await readFile('report.csv', 'utf8')).trimEnd().split('\n')
console.log(lines[0])
console.log(`${lines.length - 1} rows, ${lines.filter((line) => line.includes(',completed,')).length} completed`)
console.log(`at most ${site.busiest()} pages were open at once`)

await engine.stop()
await dispatcher.close()
await site.close()

// Output:
// first run: Started, Cancelling, Cancelled; watched live: yes
// it adds up: true
// the rest: Started, Finalizing, Completed
// both together: 1950 completed, 50 failed
// the failed ones again: Completed, 50 of 50 finished, 0 failed, manual
// key,status,attempts,reason,code,job,input,output.title,output.links,output.characters,more
// 2000 rows, 2000 completed
// at most 20 pages were open at once
