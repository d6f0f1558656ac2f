/**
 * What a story has and its canvas cannot show, remembered in the workflow: recipes of its own, the style of a draft,
 * settings without effect, names in braces. Plain data, so that draft and real of a story can be changed into each
 * other and back.
 */

/** What the settings of every profile have in common: sizes, and recipes by name. */
const COMMON = ['width', 'height', 'resolution']
const SETTINGS = ['image_settings', 'video_settings']
/** The parts of a story of which each value is remembered by itself. */
const SECTIONS = [...SETTINGS, 'quality', 'film']

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other)

/**
 * A story read from the canvas, with what was remembered: what is read as it was then is what was given.
 *
 * @param now the story as it is read now.
 * @param memory `{given, then}`: the story that was put on the canvas, and how it was read there; or nothing.
 */
export function withMemory(now, memory) {
  if (!memory?.given || !memory.then) return now
  const { given, then } = memory
  const byId = scenes => new Map((scenes ?? []).map(scene => [scene.id, scene]))
  const [before, meant] = [byId(then.scenes), byId(given.scenes)]
  const story = merged({ ...now, scenes: 0 }, { ...then, scenes: 0 }, { ...given, scenes: 0 })
  // On the canvas is one size, which a story can say in two ways.
  if (!same(now.video_settings?.resolution, then.video_settings?.resolution)) delete story.format
  for (const name of SECTIONS) {
    const parts = [now[name], then[name], given[name]]
    // There may be no film.
    if (parts.every(part => part === undefined || isSection(part))) story[name] = merged(...parts.map(part => part ?? {}))
    if (isSection(story[name]) && !Object.keys(story[name]).length) delete story[name]
  }
  const characters = charactersOf(now.characters, then.characters, given.characters)
  if (Object.keys(characters).length) story.characters = characters
  story.scenes = now.scenes.map(scene => {
    const [read, wanted] = [before.get(scene.id), meant.get(scene.id)]
    return read && wanted ? merged(scene, read, wanted) : scene
  })
  return story
}

const isSection = value => value?.constructor === Object

/** Characters that no scene shows are not on the canvas, and stay. */
function charactersOf(now = {}, then = {}, given = {}) {
  const all = Object.entries({ ...given, ...now })
  return Object.fromEntries(all.map(([key, value]) => [key, given[key] && (!now[key] || same(now[key], then[key])) ? given[key] : value]))
}

function merged(now, then, given) {
  const values = [...new Set([...Object.keys(given), ...Object.keys(now)])].map(name => [name, same(now[name], then[name]) ? given[name] : now[name]])
  return Object.fromEntries(values.filter(([, value]) => value !== undefined))
}

/**
 * Gives a story the settings that it had under its profile, or only those that every profile has.
 *
 * @param story the story's data, which is changed.
 * @param before the data before its profile was changed.
 * @param profiles the settings of earlier profiles by name, or nothing.
 * @returns the settings by profile to remember.
 */
export function withSettings(story, before, profiles = {}) {
  const pick = data => Object.fromEntries(SETTINGS.map(name => [name, data[name]]).filter(([, value]) => value))
  if ((story.profile ?? '') === (before.profile ?? '')) return profiles
  const { [before.profile]: _, ...others } = profiles
  // The last one is the one that the story had last.
  const known = { ...others, [before.profile]: pick(before) }
  // Settings that were changed together with the profile are meant for it.
  if (!same(pick(story), pick(before))) return known
  for (const name of SETTINGS) {
    const common = Object.fromEntries(COMMON.filter(key => before[name]?.[key] !== undefined).map(key => [key, before[name][key]]))
    const own = Object.entries(profiles[story.profile]?.[name] ?? {}).filter(([key]) => !COMMON.includes(key))
    const settings = { ...Object.fromEntries(own), ...common }
    if (Object.keys(settings).length) story[name] = settings
    else delete story[name]
  }
  return known
}
