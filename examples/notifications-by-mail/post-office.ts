/** An SMTP server of this process, which keeps the mails that it gets. */
import { EventEmitter, once } from 'node:events'
import { SMTPServer } from 'smtp-server'

/** How the server treats the next mails. */
export type Behaviour = 'accept' | 'refuse' | 'stall'

/** A mail as it came: to whom, and its lines. */
export interface Mail {
  readonly to: string
  readonly text: string
}

/** Starts the server on a free port. */
export async function postOffice() {
  const mails: Mail[] = []
  const arrivals = new EventEmitter()
  let behaviour: Behaviour = 'accept'
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData: (stream, { envelope }, done) => {
      const parts: Buffer[] = []
      stream.on('data', (part: Buffer) => parts.push(part))
      stream.on('end', () => {
        if (behaviour === 'stall') return
        if (behaviour === 'refuse') return done(new Error('try again later'))
        const text = Buffer.concat(parts).toString()
        for (const { address } of envelope.rcptTo) mails.push({ to: address, text })
        arrivals.emit('mail')
        done()
      })
    },
  })
  // A client that gives up resets its connection.
  server.on('error', () => {})
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  const address = server.server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    mails,
    behave: (how: Behaviour) => {
      behaviour = how
    },
    /** Resolves when this many mails have come. */
    arrived: async (count: number) => {
      while (mails.length < count) await once(arrivals, 'mail')
    },
    close: () => new Promise<void>((resolve) => server.close(resolve)),
  }
}
