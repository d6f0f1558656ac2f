/** Which nodes on the canvas belong to one scene alone, and where they join the chains of the story. */
import { root } from '../shared/workflow.mjs'
import { pathTo } from './widgets.mjs'

/** The chains of a story, by the input that links each scene to the one before. */
export const CHAINS = ['film', 'storyboard']
const ENDS = ['StoryStudio_ContactSheet', 'StoryStudio_Film', 'StoryStudio_FilmSound', 'StoryStudio_FilmCards', 'StoryStudio_FilmDelivery']
/** What loaders give: a scene shares them even while it is the only one. */
const MODELS = ['MODEL', 'CLIP', 'VAE', 'AUDIO_ENCODER', 'CLIP_VISION', 'CONTROL_NET', 'UPSCALE_MODEL']
/** The ids that links have in a box where they come from its inputs, and go to its outputs. */
export const BORDERS = [-10, -20]

/**
 * The scenes as units of nodes, in the graph in which they stand side by side.
 *
 * @returns `{graph, units}`: for each scene by its id `{id, nodes, film, storyboard}`; `film` and `storyboard` are its
 *   place in that chain, `{node, entry, exit}` with the numbers of its slots, or null.
 */
export function unitsOf(app, scenes) {
  const paths = scenes.map(scene => [scene.still, scene.clip, scene.check, ...CHAINS.map(name => scene.joins[name])].filter(Boolean).map(id => pathTo(app, id)))
  const depth = sharedDepth(paths)
  const graph = depth ? paths[0][0][depth - 1].subgraph : root(app)
  const cores = paths.map(all => new Set(all.map(path => path[depth]).filter(Boolean)))
  const units = new Map()
  scenes.forEach((scene, index) => {
    const others = new Set(cores.flatMap((core, other) => (other === index ? [] : [...core])))
    const nodes = [...cores[index]].some(node => others.has(node)) ? [] : grow(graph, cores[index], others)
    const places = CHAINS.map(name => [name, scene.joins[name] ? placeOf(pathTo(app, scene.joins[name]).slice(depth), name) : null])
    units.set(scene.id, { id: scene.id, nodes, ...Object.fromEntries(places) })
  })
  return { graph, units }
}

/** How many boxes all scenes have around them. */
function sharedDepth(paths) {
  if (paths.length < 2) return 0
  const [first, ...rest] = paths.flat().map(path => path.slice(0, -1))
  let depth = 0
  while (first[depth] && rest.every(path => path[depth] === first[depth])) depth++
  return depth
}

/** The nodes, and those around them that nothing else uses and that use nothing else. */
function grow(graph, core, others) {
  const unit = new Set(core)
  const within = nodes => nodes.length > 0 && nodes.every(node => unit.has(node))
  for (let before = -1; before !== unit.size; ) {
    before = unit.size
    for (const node of graph.nodes) {
      if (unit.has(node) || others.has(node) || ENDS.includes(node.type) || linksChain(node)) continue
      const shared = node.outputs?.length && node.outputs.every(output => MODELS.includes(output.type))
      if ((within(targetsOf(graph, node)) && !shared) || within(sourcesOf(graph, node))) unit.add(node)
    }
  }
  return graph.nodes.filter(node => unit.has(node))
}

/** A node that only passes on a link between scenes, as a reroute does. */
const linksChain = node => node.isVirtualNode && !node.subgraph && node.outputs?.some(({ type }) => CHAINS.some(name => type === `STORY_STUDIO_${name.toUpperCase()}`))

const linked = (graph, ids, end) => ids.map(id => graph.getLink(id)).filter(Boolean).map(link => graph.getNodeById(link[end]))
const targetsOf = (graph, node) => linked(graph, (node.outputs ?? []).flatMap(output => output.links ?? []), 'target_id')
const sourcesOf = (graph, node) => linked(graph, (node.inputs ?? []).map(input => input.link).filter(id => id != null), 'origin_id')

/** The slots through which a node, or the box around it, joins a chain; null if its box does not show them. */
function placeOf(path, name) {
  let node = path.at(-1)
  let entry = node?.inputs.findIndex(input => input.name === name)
  let exit = 0
  for (const box of path.slice(0, -1).reverse()) {
    const inner = node.graph
    const into = inner.getLink(node.inputs[entry]?.link)
    const out = (node.outputs[exit]?.links ?? []).map(id => inner.getLink(id)).find(link => Number(link?.target_id) === BORDERS[1])
    if (Number(into?.origin_id) !== BORDERS[0] || !out) return null
    entry = into.origin_slot
    exit = out.target_slot
    node = box
  }
  return node && entry >= 0 ? { node, entry, exit } : null
}
