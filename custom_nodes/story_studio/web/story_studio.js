/** The storyboard panel: its state, what its buttons do, and the events of ComfyUI that change it. */
import { app } from '../../scripts/app.js'
import { forgetOldValues } from './boxes.mjs'
import { markNode } from './checks.mjs'
import { createView } from './panel.mjs'
import { ask } from './server.mjs'
import { droppedFiles, findStory, openStory, saveStory } from './story.mjs'
import { keepSeed, ownWidget, pathTo, setWidget, show } from './widgets.mjs'
import { speak, t } from './words.mjs'

const PARTS = ['still', 'clip']
const KEEPERS = ['StoryStudio_Still', 'StoryStudio_Clip']
const NOTHING = { scenes: [], films: [], owners: {} }
const model = { scenes: [], films: [], owners: new Map(), takes: {}, problem: '' }
const sessions = new Map()
let view = null
let target = null
let timer = 0
let read = 0

const place = () => app.extensionManager.workflow?.activeWorkflow?.path ?? ''

/** The runs of the open workflow since the page was loaded, kept apart because workflows share node ids. */
function session() {
  const path = place()
  if (!sessions.has(path)) sessions.set(path, { running: null, active: {}, failed: new Map(), made: {}, kept: {}, problem: '' })
  return sessions.get(path)
}

/** The seeds that a still or clip must not share: those of other scenes, and of the parts `also` of its own. */
const foreignSeeds = (scene, ...also) =>
  model.scenes.flatMap(one => (one === scene ? also : PARTS).map(part => one.seeds[part])).filter(Boolean)

async function refresh() {
  clearTimeout(timer)
  if (!view) return
  const turn = ++read
  try {
    const { output } = await app.graphToPrompt()
    const hasScenes = Object.values(output).some(node => KEEPERS.includes(node.class_type))
    const asked = hasScenes ? ['scenes', 'takes'].map(name => ask(app, name, { prompt: output })) : [NOTHING, {}]
    const [{ scenes, films, owners }, takes] = await Promise.all(asked)
    if (turn !== read) return
    const ownerOf = ([id, [number, part]]) => [id, { scene: scenes[number], part }]
    Object.assign(model, { scenes, takes, films, owners: new Map(Object.entries(owners).map(ownerOf)), problem: '' })
  } catch (error) {
    model.problem = t('The story could not be read: {}', error.message)
  }
  paint()
}

function refreshSoon() {
  clearTimeout(timer)
  timer = setTimeout(refresh, 250)
}

/** Why the server refused nodes, by scene; ComfyUI keeps these errors until the next run. */
function refused() {
  const found = new Map()
  for (const [id, { errors }] of Object.entries(app.lastNodeErrors ?? {})) {
    const scene = model.owners.get(id)?.scene
    if (scene) found.set(scene.id, errors.map(one => [one.message, one.details].filter(Boolean).join(': ')).join(' '))
  }
  return found
}

function paint() {
  if (!view) return
  const now = session()
  const reasons = refused()
  const working = new Map()
  for (const [id, progress] of Object.entries(now.active)) {
    const owner = model.owners.get(id)
    if (owner) working.set(owner.scene.id, { part: owner.part, progress })
  }
  const scenes = model.scenes.map(scene => {
    const shown = { ...scene, reason: now.failed.get(scene.id) ?? reasons.get(scene.id) ?? '' }
    for (const part of PARTS) {
      const { file = null, takes = [] } = model.takes[scene[part]] ?? {}
      const made = now.made[scene[part]]
      shown[part] = scene[part] && { file: file ?? made, old: !file, takes, chosen: scene.chosen[part] }
    }
    if (shown.clip) {
      const { clip } = shown
      // With retakes the film may show another take than the first.
      const kept = !clip.old && clip.takes.find(take => take.key === now.kept[scene.check])
      if (kept) clip.file = kept.file
      shown.check = clip.takes.find(take => take.file.filename === clip.file?.filename)?.check
      markNode(pathTo(app, scene.clip).at(-1), shown.check)
    }
    const work = working.get(scene.id)
    const done = PARTS.every(part => !shown[part] || !shown[part].old)
    shown.state = shown.reason ? 'failed' : work ? { still: 'drawing', clip: 'talking' }[work.part] : done ? 'done' : 'waiting'
    shown.progress = work?.progress ?? 0
    return shown
  })
  view.paint({ scenes, films: model.films.length, running: !!now.running, problem: model.problem || now.problem })
}

async function queue(ids) {
  for (const scene of model.scenes) for (const part of PARTS) if (scene.seeds[part]) keepSeed(app, scene.seeds[part])
  await app.queuePrompt(0, 1, ids)
  await refresh()
}

/** The checks of these scenes, which lead to nothing else and so are queued by themselves. */
const checksOf = scenes => scenes.map(one => one.check).filter(Boolean)

const scene = id => model.scenes.find(one => one.id === id)

const actions = {
  url: file => app.api.apiURL(`/view?${new URLSearchParams(file)}`),
  show: id => show(app, scene(id).clip ?? scene(id).still),
  stop: () => app.api.interrupt(session().running),
  async render(what) {
    await refresh()
    const wanted = what === 'film' ? model.films : model.scenes.map(one => one[what]).filter(Boolean)
    await queue(what === 'still' ? wanted : [...wanted, ...checksOf(model.scenes)])
  },
  async newTake(id, part) {
    await refresh()
    const one = scene(id)
    const seed = one.seeds[part]
    // A new still leads to a new clip anyway, but a new clip must not change its still.
    let widget = seed && ownWidget(app, seed, foreignSeeds(one, ...(part === 'clip' ? ['still'] : [])))
    if (seed && !widget && part === 'clip') {
      widget = ownWidget(app, seed, foreignSeeds(one))
      const { file, takes } = model.takes[one.still]
      const kept = takes.find(take => take.file.filename === file?.filename)
      if (widget && kept && !choose(one, 'still', kept.key)) return
    }
    if (!widget) return say(t(`The ${part} of {} has no seed of its own to change.`, one.name))
    if (one.chosen[part] && !choose(one, part, '')) return
    setWidget(app, widget, Math.floor(Math.random() * 2 ** 32))
    await queue([one[part], ...(part === 'clip' ? checksOf([one]) : [])])
  },
  async choose(id, part, key) {
    if (choose(scene(id), part, key)) await refresh()
  },
  open: files => open([...files].map(file => ({ path: file.name, file }))),
  async save() {
    await refresh()
    const { output } = await app.graphToPrompt()
    const keys = Object.entries(model.takes).map(([id, { key }]) => [id, key])
    try {
      toast('warn', (await saveStory(app, output, Object.fromEntries(keys.filter(([, key]) => key)))).join('\n'))
      toast('info', t('The story file names its files as they are in ComfyUI’s input folder: put it there.'))
    } catch (error) {
      toast('error', error.message)
    }
  },
}

/** Opens the story file among files; a single other file is left to ComfyUI. */
async function open(files) {
  try {
    const story = await findStory(files)
    if (story) toast('warn', (await openStory(app, story, files)).join('\n'))
    else if (files.length === 1) await app.handleFile(files[0].file, 'file_drop')
    else throw new Error(t('None of these is a story file or a script: its name ends in .yaml or .json and it has scenes, or in .fountain, .csv, .srt, .vtt, .md or .txt.'))
  } catch (error) {
    toast('error', error.message)
  }
}

/** Shows a message. It covers the Run button, so it disappears by itself unless it is an error. */
function toast(severity, detail) {
  const life = severity === 'error' ? undefined : 8000
  if (detail) app.extensionManager.toast.add({ severity, summary: 'Story Studio', detail, life })
}

function choose(one, part, key) {
  const others = model.scenes.flatMap(other => PARTS.filter(p => other !== one || p !== part).map(p => other[p]))
  const inputs = others.filter(Boolean).map(id => ({ id, input: 'take' }))
  const widget = ownWidget(app, { id: one[part], input: 'take' }, inputs)
  if (!widget) say(t('{} has no input "take" of its own: expose it on its subgraph node.', one.name))
  else setWidget(app, widget, key)
  return !!widget
}

function say(problem) {
  session().problem = problem
  paint()
}

const on = (name, handle) =>
  app.api.addEventListener(name, ({ detail }) => {
    if (target) handle(detail)
    paint()
  })

/** Keeps which take a Check Clip chose, and marks the Clip that it checked, also while the panel is closed. */
function noteCheck(id, { kept, verdict, findings: [worst] }) {
  target.kept[id] = kept
  const check = target === session() && pathTo(app, id).at(-1)
  const link = check && check.graph.getLink(check.inputs.find(slot => slot.name === 'clip')?.link)
  const clip = link && check.graph.getNodeById(link.origin_id)
  if (KEEPERS.includes(clip?.type)) markNode(clip, { verdict, finding: worst && { name: '', text: worst.text } })
}

function end() {
  Object.assign(target, { running: null, active: {} })
  refreshSoon()
}

function listen() {
  app.api.addEventListener('execution_start', ({ detail }) => {
    target = session()
    Object.assign(target, { running: detail.prompt_id, active: {}, failed: new Map(), problem: '' })
    paint()
  })
  on('progress_state', ({ nodes }) => {
    // ComfyUI also calls a Still or Clip running while it waits for its input.
    const works = ([id, node]) => node.state === 'running' && !(id in model.takes)
    const running = Object.entries(nodes).filter(works)
    target.active = Object.fromEntries(running.map(([id, { value, max }]) => [id, max > 1 ? value / max : 0]))
  })
  on('executed', ({ node, output }) => {
    // While a clip that fails is made again, its check has no result yet.
    if (output?.check) noteCheck(node, output.check[0])
    else if (!output?.checkpoint) return
    if (output.checkpoint) {
      target.made[node] = output.images[0]
      if (target === session() && model.takes[node]) model.takes[node].file = output.images[0]
    }
    // The answer to an earlier request, which lacks this file, may still arrive.
    refreshSoon()
  })
  on('execution_error', ({ node_id, exception_message }) => {
    const owner = target === session() && model.owners.get(node_id)
    const reason = exception_message.trim()
    if (owner) target.failed.set(owner.scene.id, reason)
    else target.problem = `${pathTo(app, String(node_id)).at(-1)?.title ?? t('A node')}: ${reason}`
    end()
  })
  on('execution_success', end)
  on('execution_interrupted', end)
  app.api.addEventListener('graphChanged', refreshSoon)
}

app.registerExtension({
  name: 'StoryStudio.Storyboard',
  setup() {
    speak(app.extensionManager.setting.get('Comfy.Locale'))
    listen()
    // Comes before ComfyUI's own listener, which takes a single file and no folders.
    window.addEventListener('drop', event => {
      const files = droppedFiles(event.dataTransfer)
      if (!files) return
      event.preventDefault()
      event.stopImmediatePropagation()
      files.then(open, error => toast('error', error.message))
    }, { capture: true })
    app.extensionManager.registerSidebarTab({
      id: 'story-studio',
      icon: 'pi pi-images',
      title: t('Storyboard'),
      label: t('Story'),
      tooltip: t('Storyboard: the scenes of this story'),
      type: 'custom',
      render(element) {
        // ComfyUI calls this again whenever it draws its sidebar, even between pressing and releasing the mouse.
        if (view?.element === element) return
        view = createView(element, actions)
        refresh()
      },
      destroy() {
        view = null
      },
    })
  },
  beforeConfigureGraph: graph => forgetOldValues([graph, ...(graph.definitions?.subgraphs ?? [])]),
  afterConfigureGraph: refreshSoon,
  nodeCreated(node) {
    // Nodes 2.0 takes what a node with a VIDEO input shows for a video, if nothing else is said.
    if (node.comfyClass === 'StoryStudio_CheckClip') node.previewMediaType = 'image'
    // ComfyUI sets the values of a new box only after this event.
    if (node.subgraph) queueMicrotask(() => forgetOldValues([{ nodes: [node] }, node.subgraph]))
    refreshSoon()
  },
})
