/** The panel's scenes as a story file: plain data in, plain data out. */
import { find, ids, isLink, nearest, STILL, words } from './scenes.mjs'

const ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/

/** A constant, also one that comes from a primitive node. */
function constant(graph, value, depth = 4) {
  if (!isLink(value)) return value
  const inputs = Object.values(graph[value[0]]?.inputs ?? {})
  return depth && inputs.length === 1 ? constant(graph, inputs[0], depth - 1) : undefined
}

/** The nearest node above, in the same scene's part, that has all of these inputs; none gives an empty one. */
function above(graph, id, ...names) {
  const through = node => node.class_type !== STILL
  return graph[find(graph, id, node => names.every(name => name in node.inputs), { through })]?.inputs ?? {}
}

/** The words behind a conditioning as they were written: for the encoder parentheses stand as \( and \). */
function encoded(graph, link) {
  const id = isLink(link) && find(graph, String(link[0]), node => 'text' in node.inputs)
  return id ? words(graph, graph[id].inputs.text).replace(/\\([()])/g, '$1') : ''
}

function told(settings) {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined && value !== ''))
}

/** Which profile made the pictures and clips, from their models. */
function profileOf(graph) {
  const values = Object.values(graph).flatMap(node => Object.values(node.inputs)).filter(one => typeof one === 'string')
  const classes = Object.values(graph).map(node => node.class_type)
  if (classes.includes('StoryStudio_Animatic') || classes.includes('StoryStudio_TitleCard')) return 'draft'
  if (values.some(name => /lightx2v.*\.safetensors$/.test(name))) return 'turbo'
  return values.some(name => /^(z_image_bf16|wan2\.2_s2v_14B_bf16)\.safetensors$/.test(name)) ? 'quality' : 'standard'
}

function settingsOf(graph, scene) {
  const picture = above(graph, scene.still, 'width', 'height')
  const drawn = above(graph, scene.still, 'steps', 'cfg')
  const video = above(graph, scene.clip, 'audio')
  const number = (inputs, name) => constant(graph, inputs[name])
  const some = entries => (Object.keys(told(entries)).length ? told(entries) : undefined)
  const guided = inputs => (number(inputs, 'cfg') > 1 ? { cfg: number(inputs, 'cfg'), negative_prompt: encoded(graph, inputs.negative) } : {})
  const size = ['width', 'height'].map(name => number(video, name))
  return {
    image_settings: some({ width: number(picture, 'width'), height: number(picture, 'height'), steps: number(drawn, 'steps'), ...guided(drawn) }),
    video_settings: some({ resolution: size.every(Boolean) ? size.join('x') : undefined, sample_steps: number(video, 'steps'), ...guided(video) }),
  }
}

function sceneOf(graph, scene, id, keys) {
  const still = graph[scene.still]?.inputs ?? {}
  const picture = graph[still.image?.[0]] ?? { inputs: {} }
  const own = picture.class_type === 'LoadImage' ? constant(graph, picture.inputs.image) : undefined
  const video = above(graph, scene.clip, 'audio')
  const shown = Object.values(graph).find(node => node.class_type === 'StoryStudio_Storyboard' && node.inputs.still?.[0] === scene.still)?.inputs ?? {}
  const film = Object.values(graph).find(node => node.class_type === 'StoryStudio_FilmScene' && nearest(graph, node.inputs.clip, 'StoryStudio_Clip') === scene.clip)?.inputs ?? {}
  const [drawn, spoken] = [scene.still, scene.clip].map(part => constant(graph, above(graph, part, 'seed').seed))
  const seed = spoken ?? drawn
  const title = words(graph, film.title) || scene.name
  return told({
    id,
    title: title === id ? '' : title,
    // What is read as the prompt of a scene with a picture of its own may be the clip's.
    prompt: own ? words(graph, shown.prompt) : scene.prompt,
    audio: constant(graph, graph[find(graph, scene.clip, node => node.class_type === 'LoadAudio')]?.inputs.audio),
    image: own,
    video_prompt: encoded(graph, video.positive),
    text: words(graph, film.text),
    seed,
    // A story has one seed for a scene's still and clip: a still with another one is named by its key.
    still_take: still.take || (!own && drawn !== undefined && drawn !== seed ? keys[scene.still] : undefined),
    clip_take: graph[scene.clip]?.inputs.take || undefined,
  })
}

/** What all drawn prompts have behind the scenes' own words; nothing if they differ. */
function styleOf(scenes) {
  const styles = scenes.filter(scene => scene.drawn).map(({ drawn, prompt }) => {
    const start = `${prompt.replace(/[. ,]+$/, '')}, `
    return drawn.startsWith(start) ? drawn.slice(start.length) : ''
  })
  return styles.length && styles.every(one => one === styles[0]) ? styles[0] : ''
}

function idsOf(scenes, project) {
  const used = new Set()
  return scenes.map((scene, index) => {
    let id = scene.named.startsWith(`${project}_`) ? scene.named.slice(project.length + 1) : scene.named
    if (!ID.test(id) || used.has(id.toLowerCase())) id = `scene_${index + 1}`
    used.add(id.toLowerCase())
    return id
  })
}

/**
 * A story of the scenes on the canvas. What scenes have in common is the first one's.
 *
 * @param graph the flattened API graph.
 * @param scenes as `readScenes` gives them.
 * @param keys of the stills that are there, by node id.
 * @returns the story file's data; `audio` and `image` are names in ComfyUI's input folder.
 */
export function storyOf(graph, scenes, keys) {
  const [film, sheet] = ['StoryStudio_Film', 'StoryStudio_ContactSheet'].map(type => graph[ids(graph, type)[0]]?.inputs)
  const ends = [film, sheet].filter(Boolean)
  const name = ends.map(inputs => words(graph, inputs.name)).find(one => ID.test(one)) ?? 'story'
  const full = scenes.map(scene => {
    const drawn = encoded(graph, above(graph, scene.still, 'positive').positive)
    return { ...scene, drawn, named: words(graph, graph[scene.clip ?? scene.still].inputs.name) }
  })
  const style = styleOf(full)
  const names = idsOf(full, name)
  const own = scene => (scene.drawn && !style ? { ...scene, prompt: scene.drawn } : scene)
  return told({
    project_id: name,
    title: ends.map(inputs => words(graph, inputs.title)).find(Boolean),
    profile: profileOf(graph),
    style,
    ...settingsOf(graph, scenes.find(scene => scene.still && scene.clip) ?? scenes[0]),
    film: film ? told({ join: film.join, crossfade_seconds: film.crossfade_seconds, chapters: film.chapters, captions: film.captions }) : false,
    scenes: full.map((scene, index) => sceneOf(graph, own(scene), names[index], keys)),
  })
}
