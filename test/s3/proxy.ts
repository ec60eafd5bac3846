// A proxy before the server that stands still in the middle of an upload until the test has done
// what it came for.

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class HoldingProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #waiting: Socket[] = []
  #bytes = 0
  #limit = Infinity
  #holdsLater = false
  #arrive = (): void => {}

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(port: number): Promise<HoldingProxy> {
    const server = createServer()
    const proxy = new HoldingProxy(server)
    server.on('connection', (socket) => proxy.#accept(socket, port))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return proxy
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /**
   * Resolves when clients have sent so many bytes. The connections that then send more wait until
   * they are released; later ones only if `later`.
   */
  holdAfter(bytes: number, later = false): Promise<void> {
    this.#limit = this.#bytes + bytes
    this.#holdsLater = later
    return new Promise((resolve) => (this.#arrive = resolve))
  }

  release(): void {
    this.#limit = Infinity
    for (const socket of this.#waiting.splice(0)) socket.resume()
  }

  #accept(socket: Socket, port: number): void {
    const upstream = connect(port, '127.0.0.1')
    const passes = this.#bytes >= this.#limit && !this.#holdsLater
    // What the server's end leaves behind is still on its way to the client.
    upstream.pipe(socket)
    upstream.on('error', () => socket.destroy())
    socket.on('error', () => upstream.destroy())
    socket.on('close', () => {
      this.#sockets.delete(socket)
      upstream.destroy()
    })
    this.#sockets.add(socket)
    socket.on('data', (chunk) => {
      upstream.write(chunk)
      this.#bytes += chunk.length
      if (passes || this.#bytes < this.#limit) return
      socket.pause()
      this.#waiting.push(socket)
      this.#arrive()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
