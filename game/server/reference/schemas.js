// Types and schemas in words. Owns: how a schema is written on one line, and the list of all of them.

import { t } from './words.js';

/** An element with attributes and children; texts are texts, whatever stands in them. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== ''));
  return element;
}

/** The contract's comments: paragraphs, lists and `code`, nothing else. */
export function prose(text) {
  const parts = [];
  for (const block of (text ?? '').split('\n\n')) {
    const lines = block.split('\n');
    if (lines.every((line) => line.startsWith('- '))) {
      parts.push(make('ul', {}, ...lines.map((line) => make('li', {}, ...inline(line.slice(2))))));
    } else if (block.trim() !== '') {
      parts.push(make('p', {}, ...inline(block)));
    }
  }
  return parts;
}

/** One line of a comment, with its `code`. */
export function inline(text) {
  return text.split('`').map((part, at) => (at % 2 === 1 ? make('code', {}, part) : part));
}

const nameOf = (reference) => reference.split('/').pop();
const shortName = (name) => name.replace(/^(starvault\.v\w+|google\.(protobuf|rpc|api))\./, '');

export const schemaId = (name) => `schema-${name}`;

function linkTo(reference) {
  const name = nameOf(reference);
  return make('a', { href: `#${schemaId(name)}` }, shortName(name));
}

/** A type on one line, as nodes: names link to their schemas. */
export function typeOf(schema) {
  if (schema.$ref) return [linkTo(schema.$ref)];
  if (schema.allOf?.length === 1) return typeOf(schema.allOf[0]);
  const choices = schema.anyOf;
  if (choices) return choices.flatMap((choice, at) => (at === 0 ? typeOf(choice) : [` ${t('or')} `, ...typeOf(choice)]));
  if (schema.type === 'array') return phrase('list', schema.items ?? {});
  if (schema.additionalProperties && schema.additionalProperties !== true) return phrase('map', schema.additionalProperties);
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(' | ')];
  const names = [schema.type ?? t('anything')].flat();
  const format = schema.format ?? schema.contentEncoding;
  return [names.join(` ${t('or')} `) + (format ? ` (${format})` : '')];
}

function phrase(key, inner) {
  const [before, after] = t(key, { of: '\u0000' }).split('\u0000');
  return [before, ...typeOf(inner), after];
}

/** One field or parameter. */
export function entry(name, schema, { description, place, required, deprecated }) {
  const notes = [place, required && t('required'), deprecated && t('deprecated')].filter(Boolean);
  return make(
    'li',
    { class: 'entry' },
    make('div', { class: 'entry-head' }, make('code', { class: 'name' }, name), make('span', { class: 'type' }, ...typeOf(schema)),
      ...notes.map((note) => make('span', { class: 'note' }, note))),
    ...prose(description),
  );
}

function properties(schema) {
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) return [];
  const required = new Set(schema.required ?? []);
  return [make('ul', { class: 'entries' }, ...fields.map(([name, field]) =>
    entry(name, field, { description: field.description, required: required.has(name), deprecated: field.deprecated })))];
}

/** Which fields exclude each other. */
function choices(schema) {
  const groups = [schema, ...(schema.allOf ?? [])].filter((part) => part.oneOf);
  return groups.map((group) => {
    const names = group.oneOf.flatMap((choice) => choice.required ?? []);
    return make('p', { class: 'soft' }, t('oneOf', { names: names.join(', ') }));
  });
}

/** A schema in full: used for request bodies that are none of the named ones, too. */
export function schemaBody(schema) {
  const parts = [...prose(schema.description), ...choices(schema), ...properties(schema)];
  if (schema.enum) parts.push(make('p', { class: 'soft' }, t('values', { names: schema.enum.join(', ') })));
  else if (schema.type !== 'object' || schema.additionalProperties) parts.push(make('p', { class: 'soft' }, ...typeOf(schema)));
  else if (!schema.properties) parts.push(make('p', { class: 'soft' }, t('nothing')));
  return parts;
}

export function allSchemas(schemas) {
  return Object.entries(schemas).map(([name, schema]) => make(
    'details', { id: schemaId(name), class: 'card' },
    make('summary', {}, make('span', { class: 'path' }, shortName(name)), make('span', { class: 'soft' }, name)),
    ...schemaBody(schema),
  ));
}
