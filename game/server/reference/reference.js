// The reference page: reads openapi.json of the server that it comes from and writes it out.
// Owns: the order of the page. Calls no operation.

import { allSchemas, entry, inline, make, prose, schemaBody, typeOf } from './schemas.js';
import { changeLanguage, t, writeWords } from './words.js';

const VERBS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

const byId = (id) => document.getElementById(id);

function example({ summary, value }) {
  const text = JSON.stringify(value, null, 2);
  const head = make('summary', {}, summary ? `${t('example')}: ${summary}` : t('example'));
  return make('details', { class: 'example' }, head, make('pre', { tabindex: '0' }, text));
}

/** The schema and the examples of a body, of each of its content types. */
function content(types) {
  return Object.entries(types ?? {}).flatMap(([type, { schema, example: one, examples }]) => {
    const isInline = schema?.properties && !schema.$ref;
    const shown = Object.values(examples ?? {});
    if (one !== undefined) shown.unshift({ value: one });
    return [
      make('p', { class: 'content' }, make('code', {}, type), ' ', ...typeOf(schema ?? {})),
      ...(isInline ? schemaBody(schema) : []),
      ...shown.map(example),
    ];
  });
}

function part(key, ...children) {
  return children.length === 0 ? null : make('section', {}, make('h4', {}, t(key)), ...children);
}

function parameters(list) {
  return list.map((one) => entry(one.name, one.schema, {
    description: one.description, place: t(`in-${one.in}`), required: one.required, deprecated: one.deprecated,
  }));
}

function answers(responses) {
  return Object.entries(responses).map(([status, response]) => make(
    'li', { class: `entry status-${status[0]}` },
    make('div', { class: 'entry-head' }, make('code', { class: 'name' }, status)),
    ...prose(response.description),
    ...content(response.content),
  ));
}

function credentials(operation) {
  const names = (operation.security ?? []).map((choice) => Object.keys(choice).join(' + '));
  return make('p', { class: 'soft' }, names.length === 0 ? t('everybody') : t('needs', { names: names.join(` ${t('or')} `) }));
}

function operation(path, verb, told) {
  const list = parameters(told.parameters ?? []);
  return make(
    'details', { id: told.operationId, class: 'card' },
    make('summary', {}, make('span', { class: `verb verb-${verb}` }, verb.toUpperCase()), make('span', { class: 'path' }, path),
      told.deprecated ? make('span', { class: 'note' }, t('deprecated')) : null,
      make('span', { class: 'summary' }, ...inline(told.summary ?? ''))),
    ...prose(told.description),
    credentials(told),
    part('parameters', ...(list.length === 0 ? [] : [make('ul', { class: 'entries' }, ...list)])),
    part('body', ...content(told.requestBody?.content)),
    part('answers', make('ul', { class: 'entries' }, ...answers(told.responses))),
  );
}

function operations(document) {
  const all = Object.entries(document.paths).flatMap(([path, item]) =>
    VERBS.filter((verb) => item[verb]).map((verb) => ({ path, verb, told: item[verb] })));
  return (document.tags ?? []).flatMap((tag) => {
    const own = all.filter(({ told }) => told.tags?.includes(tag.name));
    return [make('h3', {}, tag.name), ...prose(tag.description), ...own.map(({ path, verb, told }) => operation(path, verb, told))];
  });
}

function securitySchemes(schemes) {
  return Object.entries(schemes).map(([name, scheme]) => {
    const where = scheme.type === 'http' ? `Authorization: Bearer ${scheme.bearerFormat ?? ''}` : `${t(`in-${scheme.in}`)}: ${scheme.name}`;
    return make('div', { class: 'card' }, make('p', {}, make('code', { class: 'name' }, name), ' ', make('code', {}, where)), ...prose(scheme.description));
  });
}

function socket(told) {
  return make(
    'div', { class: 'card', id: 'websocket' },
    make('p', {}, make('span', { class: 'verb' }, 'WS'), ' ', make('span', { class: 'path' }, told.path)),
    ...prose(told.description),
    make('p', {}, `${t('subprotocols')}: `, ...told.subprotocols.flatMap((name, at) => [at === 0 ? '' : ', ', make('code', {}, name)])),
    make('p', {}, `${t('clientFrames')}: `, ...typeOf(told.clientMessage)),
    make('p', {}, `${t('serverFrames')}: `, ...typeOf(told.serverMessage)),
  );
}

function fill(id, children) {
  byId(id).replaceChildren(...children);
  const section = byId(id).closest('section');
  if (section) section.hidden = children.length === 0;
}

function write(document) {
  writeWords();
  byId('state').hidden = true;
  byId('title').textContent = `${document.info.title} · ${t('title')} ${document.info.version}`;
  fill('about', [...prose(document.info.description), make('p', { class: 'soft' }, t('contractNote'))]);
  fill('credentials', securitySchemes(document.components?.securitySchemes ?? {}));
  fill('operations', operations(document));
  fill('sockets', (document['x-websockets'] ?? []).map(socket));
  fill('schemas', allSchemas(document.components?.schemas ?? {}));
}

/** Opens what the address names: a link to a closed card would show nothing. */
function open() {
  const target = byId(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.tagName === 'DETAILS') target.open = true;
  target.scrollIntoView();
}

async function read() {
  const response = await fetch('openapi.json');
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  return response.json();
}

let told = null;
let failure = '';

function draw() {
  if (told) { write(told); return; }
  writeWords();
  if (failure) byId('state').textContent = t('failed', { why: failure });
}

byId('language').addEventListener('click', () => {
  const wereOpen = [...document.querySelectorAll('details.card[open]')].map((card) => card.id);
  changeLanguage();
  draw();
  for (const id of wereOpen) byId(id).open = true;
});
addEventListener('hashchange', open);

draw();
try {
  told = await read();
} catch (error) {
  failure = error.message;
}
draw();
open();
