// Every word of the reference page that does not come from the contract, in Chinese and English.
// Owns: the language in use, which is the play page's as well.

import { preferred } from '../keep.js';

const WORDS = {
  home: ['← 星穹棋局', '← Starvault'],
  language: ['English', '中文'],
  languageLabel: ['切换到英文', 'Switch to Chinese'],
  title: ['HTTP 接口', 'HTTP interface'],
  loading: ['正在读取接口文档…', 'Reading the document…'],
  failed: ['无法读取 openapi.json（{why}）。请稍后重新加载本页。', 'openapi.json could not be read ({why}). Reload the page later.'],
  contractNote: ['下面的说明文字来自契约，为英文。', ''],
  credentials: ['凭证', 'Credentials'],
  operations: ['接口', 'Operations'],
  sockets: ['WebSocket', 'WebSocket'],
  schemas: ['数据结构', 'Schemas'],
  parameters: ['参数', 'Parameters'],
  body: ['请求体', 'Request body'],
  answers: ['响应', 'Answers'],
  example: ['示例', 'Example'],
  required: ['必填', 'required'],
  deprecated: ['已弃用', 'deprecated'],
  everybody: ['无需凭证', 'No credential needed'],
  needs: ['需要凭证：{names}', 'Needs: {names}'],
  clientFrames: ['客户端发送', 'Client sends'],
  serverFrames: ['服务器发送', 'Server sends'],
  subprotocols: ['子协议', 'Subprotocols'],
  oneOf: ['以下字段至多出现一个：{names}', 'At most one of: {names}'],
  values: ['取值：{names}', 'One of: {names}'],
  nothing: ['无字段', 'No fields'],
  'in-path': ['路径', 'path'],
  'in-query': ['查询', 'query'],
  'in-header': ['请求头', 'header'],
  'in-cookie': ['Cookie', 'cookie'],
  list: ['{of} 的列表', 'list of {of}'],
  map: ['{of} 的映射', 'map of {of}'],
  anything: ['任意值', 'anything'],
  or: ['或', 'or'],
};

const KEY = 'language';

function initial() {
  const chosen = preferred.get(KEY);
  if (chosen === 'zh' || chosen === 'en') return chosen;
  return (navigator.language || 'en').toLowerCase().startsWith('zh') ? 'zh' : 'en';
}

let current = initial();

export function changeLanguage() {
  current = current === 'zh' ? 'en' : 'zh';
  preferred.set(KEY, current);
}

/** The text `key` in the language in use, with `{name}` filled in from `values`. */
export function t(key, values = {}) {
  const text = WORDS[key][current === 'zh' ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}

/** Writes the words of all elements that name theirs. */
export function writeWords() {
  document.documentElement.lang = current === 'zh' ? 'zh-CN' : 'en';
  for (const element of document.querySelectorAll('[data-t]')) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll('[data-t-label]')) {
    element.setAttribute('aria-label', t(element.dataset.tLabel));
  }
}
