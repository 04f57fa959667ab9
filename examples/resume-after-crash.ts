/**
 * A job whose process is killed in the middle. Started again on the same file, the engine continues it: steps whose
 * results were recorded do not run again.
 *
 *     npm run example examples/resume-after-crash.ts
 *
 * The program starts itself as a second process, which kills itself with SIGKILL, so nothing can clean up.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'

const mayCrash = process.argv[2] === 'crash'
const who = mayCrash ? 'first process' : 'second process'

const bake = defineJob({
  type: 'bake',
  async execute({ attempt, step }) {
    console.log(`${who}: attempt ${attempt}`)
    const dough = await step('knead', () => {
      console.log(`${who}: kneading`)
      return { grams: 800 }
    })
    const loaves = await step('bake', ({ key }) => {
      // A step runs at least once. Its key is the same in every attempt: pass it to the system that the step changes.
      console.log(`${who}: baking ${dough.grams} g under the key ...${key.slice(key.indexOf('/'))}`)
      if (mayCrash) process.kill(process.pid, 'SIGKILL')
      return dough.grams / 400
    })
    return `${loaves} loaves`
  },
})

const engine = await createEngine({ jobs: [bake], storage: sqliteStorage('bakery.db') })
const baker = engine.as({ id: 'mo', role: 'editor' })

if (mayCrash) {
  const { id } = await baker.submit(bake, undefined)
  await baker.result(id)
} else {
  const { signal } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), 'crash'], { stdio: 'inherit' })
  console.log(`the first process died of ${signal}`)
  const [job] = (await baker.list()).items
  if (job === undefined) throw new Error('the first process submitted nothing')
  const { outcome, output } = await baker.result(job.id)
  console.log(`${outcome}: ${output}`)
}
await engine.stop()

// Output:
// first process: attempt 1
// first process: kneading
// first process: baking 800 g under the key .../execute/1:bake
// the first process died of SIGKILL
// second process: attempt 2
// second process: baking 800 g under the key .../execute/1:bake
// success: 2 loaves
