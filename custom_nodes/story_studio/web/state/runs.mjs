/** The runs of the open workflow: what is being made, what failed, and what was made. */
import { markNode } from '../canvas/mark.mjs'
import { pathTo, root } from '../canvas/widgets.mjs'
import { KEEPERS } from '../shared/nodes.mjs'
import { createSession } from './session.mjs'

/** Milliseconds after which the server is asked: about a run whose events go to another page, and without any event. */
const POLL = { other: 1500, own: 10_000 }
/** Milliseconds in which changes of the queue are asked for together. */
const SETTLE = 150
/** Where the page keeps over a reload which prompt belongs to which of its workflows. */
const KEPT = 'story_studio.runs'
const MOST_KEPT = 100

/**
 * Follows ComfyUI's events, and asks the server for what it has missed: after a reload, or of another page.
 *
 * @returns `session()`, of the open workflow, see `createSession`; `listen()`, which begins to follow them; and `sync()`,
 *   which asks the server.
 */
export function createRuns(studio) {
  const { app, model } = studio
  const sessions = new Map()
  const paths = new Map(JSON.parse(sessionStorage.getItem(KEPT) ?? '[]'))
  let heard = 0
  let timer = 0
  let asked = 0
  let known = ''

  const activePath = () => app.extensionManager.workflow?.activeWorkflow?.path ?? ''
  const idOf = () => `${activePath()} ${root(app)?.id}`

  /** Workflows are kept apart because they share node ids. */
  function session(path = activePath()) {
    if (!sessions.has(path)) sessions.set(path, createSession(studio))
    return sessions.get(path)
  }

  /** Two open workflows have the same id if both were made from one example. */
  function bind(id, path) {
    if (paths.has(id)) return
    paths.set(id, path)
    sessionStorage.setItem(KEPT, JSON.stringify([...paths].slice(-MOST_KEPT)))
  }

  async function sync() {
    clearTimeout(timer)
    if (!studio.isOpen()) return
    const [path, turn] = [activePath(), ++asked]
    known = idOf()
    let runs
    try {
      const response = await app.api.fetchApi(`/story_studio/runs?workflow=${encodeURIComponent(root(app)?.id ?? '')}`)
      if (!response.ok) return
      runs = await response.json()
    } catch {
      // The server is not there; ComfyUI says so, and the next event asks again.
      return
    }
    if (turn !== asked || path !== activePath()) return
    for (const { id, client, state, earlier } of runs) {
      if (paths.has(earlier.at(-1))) bind(id, paths.get(earlier.at(-1)))
      else if (client === app.api.clientId && ['running', 'waiting'].includes(state)) bind(id, path)
    }
    const now = session(path)
    const before = now.running
    now.take(runs.filter(run => (paths.get(run.id) ?? path) === path), Date.now() - heard > POLL.own)
    for (const [id, { check }] of Object.entries(now.outputs)) if (check) noteCheck(now, id, check[0])
    if (before && !now.running) studio.refreshSoon()
    studio.changed()
    if (now.running || now.queued.length) timer = setTimeout(poll, now.isElsewhere ? POLL.other : POLL.own)
  }

  function poll() {
    const quiet = Date.now() - heard
    if (session().isElsewhere || quiet >= POLL.own) {
      // What was finished elsewhere is found among the results.
      if (session().isElsewhere) studio.refreshSoon()
      sync()
    } else timer = setTimeout(poll, POLL.own - quiet)
  }

  function syncSoon() {
    clearTimeout(timer)
    timer = setTimeout(sync, SETTLE)
  }

  /** Handles an event of a prompt of ours. */
  const on = (name, handle) =>
    app.api.addEventListener(name, ({ detail }) => {
      const path = paths.get(detail.prompt_id)
      if (path === undefined) return
      heard = Date.now()
      handle(session(path), detail)
      studio.changed()
    })

  /** Keeps which take a Check Clip chose, and marks the Clip that it checked, also while the panel is closed. */
  function noteCheck(now, id, { kept, verdict, findings: [worst] }) {
    now.kept[id] = kept
    const check = now === session() && pathTo(app, id).at(-1)
    const link = check && check.graph.getLink(check.inputs.find(slot => slot.name === 'clip')?.link)
    const clip = link && check.graph.getNodeById(link.origin_id)
    if (KEEPERS.includes(clip?.type)) markNode(clip, { verdict, finding: worst && { name: '', text: worst.text } })
  }

  function end(now, { prompt_id }) {
    if (now.running !== prompt_id) return
    Object.assign(now, { running: null, active: {} })
    studio.refreshSoon()
    syncSoon()
  }

  function listen() {
    app.api.addEventListener('execution_start', ({ detail }) => {
      bind(detail.prompt_id, activePath())
      heard = Date.now()
      session(paths.get(detail.prompt_id)).begin(detail.prompt_id, detail.timestamp ?? Date.now())
      studio.changed()
      syncSoon()
    })
    on('progress_state', (now, { nodes }) => {
      const states = Object.entries(nodes).filter(([, node]) => node.state === 'running')
      now.work(Object.fromEntries(states.map(([id, { value, max }]) => [id, max > 1 ? value / max : 0])))
    })
    on('execution_cached', (now, { nodes }) => nodes.forEach(id => now.cached.add(id)))
    on('executed', (now, { node, output }) => {
      // While a clip that fails is made again, its check has no result yet.
      if (output?.check) noteCheck(now, node, output.check[0])
      else if (!output?.checkpoint) return
      if (output.checkpoint) {
        now.note(node, output)
        if (now === session() && model.takes[node]) model.takes[node].file = output.images[0]
      }
      // The answer to an earlier request, which lacks this file, may still arrive.
      studio.refreshSoon()
    })
    on('execution_error', (now, detail) => {
      now.errors[detail.node_id] = detail.exception_message.trim()
      end(now, detail)
    })
    on('execution_success', end)
    on('execution_interrupted', end)
    // Every page hears that the queue has changed, and only one of them what becomes of its prompts.
    for (const name of ['status', 'promptQueued', 'reconnected']) app.api.addEventListener(name, syncSoon)
    app.api.addEventListener('graphChanged', studio.refreshSoon)
  }

  /** Asks the server about a workflow that was opened since it was asked. */
  const syncOpened = () => known === idOf() || sync()

  return { session, listen, sync, syncOpened }
}
