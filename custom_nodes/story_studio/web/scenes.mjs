/** A story's scenes, read from the flattened API graph: plain data in, plain data out. */

export const STILL = 'StoryStudio_Still'
const CLIP = 'StoryStudio_Clip'

export const isLink = value => Array.isArray(value) && value.length === 2 && typeof value[1] === 'number'

/** The nodes that a node is made from, itself first, the nearest ones first. */
function* upstream(graph, start, { skip = [], through = () => true } = {}) {
  const waiting = [start]
  const seen = new Set()
  for (const id of waiting) {
    const node = graph[id]
    if (!node || seen.has(id)) continue
    seen.add(id)
    yield [id, node]
    if (id !== start && !through(node)) continue
    for (const [name, value] of Object.entries(node.inputs)) {
      if (name !== 'after' && !skip.includes(name) && isLink(value)) waiting.push(String(value[0]))
    }
  }
}

export const find = (graph, start, test, options) => {
  for (const [id, node] of start ? upstream(graph, start, options) : []) if (test(node)) return id
}

export const nearest = (graph, link, type) =>
  isLink(link) ? find(graph, String(link[0]), node => node.class_type === type) : undefined

export const ids = (graph, type) => Object.keys(graph).filter(id => graph[id].class_type === type)

/** The words of an input: its own, or those of the nodes that it is linked to. */
export function words(graph, value, depth = 6) {
  if (typeof value === 'string') return value
  if (!isLink(value) || !depth) return ''
  const parts = Object.entries(graph[value[0]]?.inputs ?? {}).filter(([name]) => name !== 'delimiter')
  return parts.map(([, part]) => words(graph, part, depth - 1)).filter(Boolean).join(' ')
}

/** The chain that ends at a node, in its order: every link is an input of this name. */
function chain(graph, id, input) {
  const found = []
  for (; graph[id] && !found.includes(id); id = String(graph[id].inputs[input]?.[0])) found.unshift(id)
  return found
}

/** The chains of a class, each from its first node to its last. */
function chains(graph, type, input) {
  const all = ids(graph, type)
  const inner = new Set(all.map(id => String(graph[id].inputs[input]?.[0])))
  return all.filter(id => !inner.has(id)).flatMap(id => chain(graph, id, input))
}

/** The nearest node above a still or clip that has a seed, and the name of that input. */
export function seedOf(graph, id) {
  const through = node => node.class_type !== STILL
  const name = node => ['seed', 'noise_seed'].find(one => one in node.inputs)
  const node = find(graph, id, name, { through })
  return node && { id: node, input: name(graph[node]) }
}

function promptOf(graph, id) {
  const name = node => ['text', 'prompt'].find(one => words(graph, node.inputs[one]))
  const node = find(graph, id, name, { skip: ['negative', 'audio'], through: one => one.class_type !== STILL })
  return node ? words(graph, graph[node].inputs[name(graph[node])]) : ''
}

/**
 * The scenes in the film's order, then what is only on a storyboard, then what is on neither.
 * Each has `still` and `clip` (node ids, one may be missing), `name` and `prompt`.
 */
export function readScenes(graph) {
  const scenes = []
  const add = (still, clip, name, prompt) => {
    if (!still && !clip) return
    const known = scenes.find(one => (clip ? one.clip === clip : one.still === still))
    if (!known) return scenes.push({ id: `${still} ${clip}`, still, clip, name, prompt })
    known.name ||= name
    known.prompt = prompt || known.prompt
  }
  const addClip = (clip, name) => add(clip && nearest(graph, graph[clip].inputs.video, STILL), clip, name)
  for (const id of chains(graph, 'StoryStudio_FilmScene', 'film')) {
    addClip(nearest(graph, graph[id].inputs.clip, CLIP), words(graph, graph[id].inputs.title))
  }
  for (const id of chains(graph, 'StoryStudio_Storyboard', 'storyboard')) {
    const { still, name, prompt } = graph[id].inputs
    add(nearest(graph, still, STILL), undefined, words(graph, name), words(graph, prompt))
  }
  for (const id of ids(graph, CLIP)) addClip(id)
  for (const id of ids(graph, STILL)) add(id)
  for (const scene of scenes) {
    scene.prompt ||= promptOf(graph, scene.still) || promptOf(graph, scene.clip)
    scene.name ||= words(graph, graph[scene.clip ?? scene.still].inputs.name)
  }
  return scenes
}

/** Which scene and part (still or clip) each node works for; nodes that serve several are left out. */
export function ownersOf(graph, scenes) {
  const owners = new Map()
  for (const scene of scenes) {
    for (const part of ['still', 'clip']) {
      const through = node => node.class_type !== STILL
      for (const [id] of scene[part] ? upstream(graph, scene[part], { through }) : []) {
        const owner = owners.get(id)
        if (owner === undefined) owners.set(id, { scene, part })
        else if (owner?.scene !== scene) owners.set(id, null)
      }
    }
  }
  return owners
}

export const filmsOf = graph => ids(graph, 'StoryStudio_Film')
