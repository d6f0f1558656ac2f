/**
 * What the search for nodes finds the pack's nodes by, besides their names.
 *
 * Interfaces from 1.39 on search a node's `search_aliases`. Older ones search names only, and those only as far as
 * their 30th letter: there the search, not the node, shows the name from `LONG_NAMES`.
 */
import { isBefore } from '../shared/interface.mjs'
import { inChinese } from '../shared/words.mjs'

const FIRST_WITH_ALIASES = 39
const PREFIX = 'StoryStudio_'

const WORDS = {
  Animatic: 'animatic, ken burns, pan and zoom, moving still, voice to video, preview, photo to video, animate photo, slideshow, voiceover, voice over, narration, 动画, 推拉镜头, 预览, 配音, 照片变视频, 旁白',
  BurnedCaptions: 'subtitle, subtitles, burned subtitles, hardsub, open captions, hard subtitles, srt, caption style, 字幕, 硬字幕, 烧录字幕, 字幕样式',
  CheckClip: 'lip sync check, quality, flicker, frozen frames, face drift, quality check, verify, mouth, 口型检查, 质量, 闪烁, 检查, 口型',
  Clip: 'save clip, save video, scene video, cache, keep video, resume, 保存视频, 缓存, 续传',
  ClipFrames: 'upscale, interpolate, video to images, get frames, upscale video, frame interpolation, slow motion, 放大, 插帧, 拆帧, 慢动作',
  ContactSheet: 'overview, all stills, proof sheet, contact sheet, thumbnails, grid, 总览, 样张, 缩略图',
  Film: 'movie, join scenes, concatenate, merge videos, edit, cut, subtitle, subtitles, captions, chapters, combine videos, join videos, stitch, montage, concat, concatenate videos, timeline, transition, crossfade, dissolve, fade, srt, vtt, export video, 电影, 合并视频, 剪辑, 拼接, 字幕, 章节, 转场, 淡入淡出, 叠化, 成片',
  FilmCards: 'title, opening title, end credits, credits, fade, intro, outro, fade in, fade out, 片头, 片尾, 字幕卡, 标题, 淡入, 淡出',
  FilmDelivery: 'export, format, codec, frame rate, fps, resolution, hevc, prores, export video, save video, resize, aspect ratio, letterbox, h264, h265, av1, 导出, 格式, 编码, 帧率, 竖屏, 画幅',
  FilmScene: 'subtitle, subtitles, caption, captions, chapter, spoken text, transcript, pause, srt, vtt, dialogue, transition, 字幕, 台词, 章节, 停顿, 对白',
  FilmSound: 'music, soundtrack, background music, loudness, normalize, voice level, ducking, bgm, lufs, audio mix, room tone, fade, 音乐, 配乐, 响度, 人声, 背景音乐, 混音',
  InOrder: 'sequence, run order, queue order, wait, 顺序, 等待',
  JoinVideos: 'continue video, extend video, concatenate, append, merge videos, combine videos, join videos, stitch, concat, 延长视频, 拼接, 合并视频, 合并',
  Master: 'upscale, enlarge, interpolate, 4k, upscale video, enhance, slow motion, 放大, 插帧, 超分, 高清',
  OwnClip: 'my video, footage, b-roll, load video, import clip, trim, trim video, cut video, stock footage, dub, dubbing, replace audio, voiceover, voice over, 自己的视频, 素材, 导入, 裁剪, 剪裁, 配音, 旁白',
  Retake: 'another take, seed, try again, retry, 重拍, 重试, 种子',
  S2VModels: 'load models, wan 2.2, s2v, speech to video, lip sync, talking head, avatar, loader, talking photo, 加载模型, 对口型, 数字人',
  ScenePrompt: 'style, prompt, join text, 风格, 提示词, 合并文本',
  Still: 'save image, scene image, picture, cache, keep image, resume, 保存图像, 图片, 缓存',
  Storyboard: 'story, scenes, shot list, story board, comic, script, screenplay, timeline, 故事, 分镜, 场景, 剧本, 脚本',
  TalkingVideo: 'lip sync, lipsync, talking head, talking avatar, avatar, voice, speech to video, audio to video, s2v, portrait, singing, digital human, talking photo, talking picture, talking portrait, photo to video, image to video, portrait animation, animate portrait, face animation, mouth, presenter, narrator, narration, podcast, voiceover, voice over, dub, dubbing, 对口型, 口型同步, 数字人, 口播, 虚拟人, 语音, 配音, 口型, 会说话的照片, 照片说话, 图生视频, 主播, 解说, 旁白',
  TextEncoder: 'clip loader, load clip, prompt encoder, 加载 CLIP, 提示词编码',
  TitleCard: 'title, text image, placeholder, draft, 标题, 文字图像, 占位图, 草稿',
  VideoFrame: 'last frame, first frame, get frame, extract frame, screenshot, 最后一帧, 首帧, 尾帧, 截图',
  WordTimes: 'subtitle, subtitles, caption, captions, karaoke, transcript, alignment, voice, timestamps, 字幕, 逐词, 卡拉OK, 对齐, 时间戳, 配音',
}

/** English and Chinese, with the words that people search for most. */
const LONG_NAMES = {
  Animatic: ['Animatic (voice, preview)', '动态分镜（配音、预览）'],
  BurnedCaptions: ['Burned Captions (subtitles)', '内嵌字幕（硬字幕、烧录）'],
  Film: ['Film (captions, subtitles)', '影片（电影、字幕、剪辑）'],
  FilmCards: ['Film Cards (title, credits)', '影片字卡（片头、片尾、标题）'],
  FilmDelivery: ['Film Delivery (export, codec)', '影片交付（导出、格式、帧率）'],
  FilmScene: ['Film Scene (subtitle, caption)', '影片场景（字幕、台词、章节）'],
  FilmSound: ['Film Sound (music, voice)', '影片声音（音乐、配乐、人声）'],
  Master: ['Master (upscale, interpolate)', '母版（放大、插帧、超分）'],
  OwnClip: ['Own Clip (footage, trim)', '自有片段（素材、导入、裁剪）'],
  TalkingVideo: ['Talking Video/Head (lip sync, avatar)', '说话视频（对口型、数字人、口播、配音）'],
  VideoFrame: ['Video Frame (first, last)', '视频帧（首帧、尾帧、截图）'],
  WordTimes: ['Word Times (subtitle, voice)', '逐词时间（字幕、对齐、配音）'],
}

/** Adds the words to the pack's nodes, in the list that the search is about to get. */
export function addSearchWords(definitions) {
  const aliases = !isBefore(FIRST_WITH_ALIASES)
  for (const definition of definitions) {
    const name = definition.name.startsWith(PREFIX) ? definition.name.slice(PREFIX.length) : ''
    const served = definition.search_aliases ?? []
    if (aliases && WORDS[name]) definition.search_aliases = [...new Set([...served, ...WORDS[name].split(', ')])]
    if (!aliases && LONG_NAMES[name]) definition.display_name = LONG_NAMES[name][Number(inChinese())]
  }
}

/** Gives a node that the search has made its own name. */
export function shortenTitle(node) {
  const longs = LONG_NAMES[String(node.comfyClass).slice(PREFIX.length)]
  if (longs?.includes(node.title)) node.title = node.constructor.title
}
