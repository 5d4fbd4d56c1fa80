// Shows what openapi.json describes, and tries it. Everything that comes from outside is put into the
// page as text, never as markup.
'use strict';

const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

let api;  // the document
const operations = new Map();  // by operationId: {verb, path, ...}

const resolve = (node) =>
  node && node.$ref ? {...node.$ref.slice(2).split('/').reduce((at, key) => at[key], api), ...withoutRef(node)} : node;
const withoutRef = ({$ref, ...rest}) => rest;

async function start() {
  try {
    const reply = await fetch('openapi.json');
    if (!reply.ok) throw new Error(`openapi.json: HTTP ${reply.status}`);
    api = await reply.json();
  } catch (error) {
    byId('operation').replaceChildren(element('p', {textContent: `The API's description cannot be had: ${error.message}`}));
    return;
  }
  for (const [path, verbs] of Object.entries(api.paths)) {
    for (const [verb, operation] of Object.entries(verbs)) {
      operations.set(operation.operationId, {...operation, verb, path});
    }
  }
  byId('filter').addEventListener('input', list);
  window.addEventListener('hashchange', show);
  list();
  show();
}

// ---- The list

function list() {
  const wanted = byId('filter').value.trim().toLowerCase();
  const groups = api.tags.map((tag) => {
    const links = [...operations.values()]
      .filter((o) => o.tags[0] === tag.name && `${o.operationId} ${o.path} ${o.summary}`.toLowerCase().includes(wanted))
      .map((o) => {
        const link = element('a', {href: `#${o.operationId}`, title: `${o.verb.toUpperCase()} ${o.path}`},
          element('span', {className: `verb ${o.verb}`, textContent: o.verb}),
          element('span', {textContent: o.operationId.split('_')[1]}));
        if (location.hash === `#${o.operationId}`) link.setAttribute('aria-current', 'page');
        return link;
      });
    return links.length ? [element('h2', {textContent: tag.name.replace(/Service$/, ''), title: tag.description}), ...links] : [];
  }).flat();
  byId('operations').replaceChildren(...(groups.length ? groups : [element('p', {className: 'note', textContent: 'None of that name.'})]));
}

// ---- One operation

function input(parameter) {
  const schema = resolve(parameter.schema);
  let field;
  if (schema.enum) {
    field = element('select', {}, element('option', {value: '', textContent: '(not sent)'}),
      ...schema.enum.map((word) => element('option', {value: word, textContent: word})));
  } else if (schema.type === 'boolean') {
    field = element('select', {}, ...['', 'true', 'false'].map((word) => element('option', {value: word, textContent: word || '(not sent)'})));
  } else {
    field = element('input', {autocomplete: 'off', spellcheck: false,
      placeholder: schema.format === 'date-time' ? '2026-01-02T03:04:05Z' : parameter.example ?? ''});
  }
  field.dataset.name = parameter.name;
  field.dataset.in = parameter.in;
  field.required = Boolean(parameter.required);
  return field;
}

function show() {
  list();
  const operation = operations.get(location.hash.slice(1));
  if (!operation) {
    byId('operation').replaceChildren(element('h2', {textContent: api.info.summary ?? api.info.title}),
      element('p', {textContent: api.info.description}),
      element('p', {className: 'note', textContent: 'Choose an operation.'}));
    return;
  }
  const parameters = operation.parameters.map(resolve);
  const form = element('form');
  const shown = parameters.filter((p) => p.name !== 'x-semaphore-organization');
  for (const parameter of shown) {
    form.append(element('label', {},
      element('span', {textContent: parameter.name + (parameter.required ? ' (required)' : '') + (parameter.in === 'header' ? ', a header' : '')}),
      input(parameter),
      ...(parameter.description ? [element('small', {textContent: parameter.description})] : [])));
  }
  const media = operation.requestBody?.content['application/json'];
  if (media) {
    form.append(element('label', {}, element('span', {textContent: 'body'}),
      element('textarea', {id: 'body', spellcheck: false, value: JSON.stringify(media.example, null, 2)})));
  }
  const changes = operation.verb !== 'get';
  form.append(element('button', {id: 'send', className: changes ? 'changes' : '', textContent: changes ? 'Send (this changes things)' : 'Send'}));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send(operation, form);
  });
  const ok = operation.responses['200'].content['application/json'];
  byId('operation').replaceChildren(
    element('h2', {textContent: operation.operationId.replace('_', '.')}),
    element('div', {className: 'path'}, element('span', {className: `verb ${operation.verb}`, textContent: `${operation.verb} `}), operation.path),
    ...operation.description.split('\n\n').map((text) => element('p', {textContent: text})),
    element('h3', {textContent: 'Try it'}), form,
    element('div', {id: 'result'}),
    element('h3', {textContent: 'A reply looks like'}),
    element('pre', {textContent: JSON.stringify(ok.example, null, 2)}));
}

// ---- Trying it

function requestOf(operation, form) {
  let path = operation.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const field of form.querySelectorAll('[data-name]')) {
    const value = field.value.trim();
    if (field.dataset.in === 'path') path = path.replace(`{${field.dataset.name}}`, encodeURIComponent(value));
    if (value === '') continue;
    if (field.dataset.in === 'query') query.append(field.dataset.name, value);
    if (field.dataset.in === 'header') headers[field.dataset.name] = value;
  }
  if (byId('organization').value.trim()) headers['x-semaphore-organization'] = byId('organization').value.trim();
  const body = byId('body')?.value;
  if (body !== undefined) headers['content-type'] = 'application/json';
  return {url: path + (`${query}` ? `?${query}` : ''), headers, body};
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curlOf(operation, request) {
  const words = ['curl'];
  if (operation.verb !== 'get') words.push('-X', operation.verb.toUpperCase());
  for (const [name, value] of Object.entries(request.headers)) words.push('-H', quoted(`${name}: ${value}`));
  if (byId('token').value) words.push('-H', '"authorization: Bearer $TOKEN"');
  if (request.body !== undefined) words.push('-d', quoted(request.body));
  words.push(quoted(location.origin + request.url));
  return words.join(' ');
}

async function send(operation, form) {
  const request = requestOf(operation, form);
  const headers = {...request.headers};
  if (byId('token').value) headers.authorization = `Bearer ${byId('token').value}`;
  const button = byId('send');
  button.disabled = true;
  const began = performance.now();
  const result = [element('pre', {id: 'curl', textContent: curlOf(operation, request)})];
  try {
    const reply = await fetch(request.url, {method: operation.verb.toUpperCase(), headers, body: request.body});
    const text = await reply.text();
    const took = Math.round(performance.now() - began);
    const names = ['x-cache', 'age', 'x-request-id', 'retry-after', 'etag', 'cache-control'];
    const told = names.filter((name) => reply.headers.get(name)).map((name) => `${name}: ${reply.headers.get(name)}`).join('\n');
    result.push(element('p', {id: 'status', className: reply.ok ? '' : 'failed', textContent: `${reply.status} ${reply.statusText}, ${took} ms`}),
      element('pre', {id: 'headers', textContent: told}), element('pre', {id: 'reply', textContent: pretty(text)}));
  } catch (error) {
    result.push(element('p', {id: 'status', className: 'failed', textContent: `No answer: ${error.message}`}));
  }
  byId('result').replaceChildren(...result);
  button.disabled = false;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

start();
