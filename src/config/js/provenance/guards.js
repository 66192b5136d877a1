// What a program is run with for the sake of the place of one error: each helper does what the language does, and notes where
// it is about to fail, and in which words Node would say so. The engine's own error is thrown, so the program goes its way.
(function () {
  const { apply, construct } = Reflect;
  const noted = new WeakMap();
  const get = WeakMap.prototype.get, set = WeakMap.prototype.set, has = WeakMap.prototype.has;
  const then = Promise.prototype.then, resolve = Promise.resolve, Whole = Promise;
  const iterator = Symbol.iterator, text = String, Plain = Object;
  // What an optional chain is once it has come to nothing.
  const SKIP = { __proto__: null };
  let last;
  // What the program is at.
  let now;
  const isObject = (value) => (typeof value === 'object' && value !== null) || typeof value === 'function';
  function note(site, error, words) {
    if (isObject(error)) {
      if (!apply(has, noted, [error])) apply(set, noted, [error, [site, words]]);
    } else if (!last || !Plain.is(last[0], error)) {
      last = [error, [site, words]];
    }
  }
  function run(site, operation, words) {
    const before = now;
    now = site;
    try {
      return operation();
    } catch (error) {
      note(site, error, words);
      throw error;
    } finally {
      now = before;
    }
  }
  const named = (key) => (isObject(key) ? undefined : text(key));
  function reading(value, key) {
    const name = named(key);
    return name === undefined ? undefined : `Cannot read properties of ${value} (reading '${name}')`;
  }
  function read(site, object, key) {
    if (object === null || object === undefined) return run(site, () => object[key], reading(object, key));
    return run(site, () => object[key]);
  }
  function call(site, { of, called }, args) {
    if (typeof called !== 'function') return run(site, () => called(), '\0 is not a function');
    return run(site, () => {
      try {
        return apply(called, of, args);
      } catch (error) {
        if (isObject(error) && error instanceof TypeError && error.message === "class constructor cannot be invoked without 'new'") {
          note(site, error, `Class constructor ${called.name} cannot be invoked without 'new'`);
        }
        throw error;
      }
    });
  }
  function isConstructor(value) {
    if (typeof value !== 'function') return false;
    try {
      construct(Plain, [], value);
      return true;
    } catch {
      return false;
    }
  }
  const isList = (value) => value !== null && value !== undefined && typeof value[iterator] === 'function';
  const destructured = (value, first) =>
    first === undefined
      ? `Cannot destructure '\0' as it is ${value}.`
      : `Cannot destructure property '${first}' of '\0' as it is ${value}.`;
  function taken(site, value, first) {
    now = site;
    if (value !== null && value !== undefined) return value;
    return run(site, () => { const {} = value; }, destructured(value, first));
  }
  const binary = {
    __proto__: null,
    '==': (a, b) => a == b, '!=': (a, b) => a != b, '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b,
    '>=': (a, b) => a >= b, '<<': (a, b) => a << b, '>>': (a, b) => a >> b, '>>>': (a, b) => a >>> b, '+': (a, b) => a + b,
    '-': (a, b) => a - b, '*': (a, b) => a * b, '/': (a, b) => a / b, '%': (a, b) => a % b, '**': (a, b) => a ** b,
    '|': (a, b) => a | b, '^': (a, b) => a ^ b, '&': (a, b) => a & b, in: (a, b) => a in b,
    instanceof: (a, b) => a instanceof b,
  };
  const unary = { __proto__: null, '+': (a) => +a, '-': (a) => -a, '~': (a) => ~a };
  return {
    run,
    id: run,
    get: read,
    ref: (site, object, key) => ({ of: object, called: read(site, object, key) }),
    val: (called) => ({ of: undefined, called }),
    call,
    end: (value) => (value === SKIP ? undefined : value),
    lget(site, object, optional, key) {
      if (object === SKIP || (optional && (object === null || object === undefined))) return SKIP;
      return read(site, object, key());
    },
    lref(site, object, optional, key) {
      if (object === SKIP || (optional && (object === null || object === undefined))) return SKIP;
      return { of: object, called: read(site, object, key()) };
    },
    lval: (called) => (called === SKIP ? SKIP : { of: undefined, called }),
    lcall(site, target, optional, args) {
      if (target === SKIP || (optional && (target.called === null || target.called === undefined))) return SKIP;
      return call(site, target, args());
    },
    make(site, called, args) {
      if (isConstructor(called)) return run(site, () => construct(called, args));
      return run(site, () => new called(), '\0 is not a constructor');
    },
    tag: (site, target) => (...args) => call(site, target, args),
    str: (site, value) => run(site, () => `${value}`),
    spread: (site, value) => run(site, () => [...value], isList(value) ? undefined : '\0 is not iterable'),
    iter(site, value) {
      if (isList(value)) return value;
      return run(site, () => { for (const each of value); }, '\0 is not iterable');
    },
    *each(site, value, inner, first) {
      for (const each of this.iter(site, value)) yield taken(inner, each, first);
    },
    list(site, value) {
      if (isList(value)) return value;
      const nothing = value === null || value === undefined;
      const words = nothing ? `${value} is not iterable (cannot read property Symbol(Symbol.iterator))` : '\0 is not iterable';
      return run(site, () => { const [] = value; }, words);
    },
    pat: taken,
    missing(site, first) {
      return run(site, () => { const {} = undefined; }, first === undefined
        ? "Cannot destructure 'undefined' as it is undefined."
        : `Cannot read properties of undefined (reading '${first}')`);
    },
    put(site, object, key, value) {
      if (object === null || object === undefined) {
        const name = named(key);
        const words = name === undefined ? undefined : `Cannot set properties of ${object} (setting '${name}')`;
        return run(site, () => (object[key] = value), words);
      }
      return run(site, () => (object[key] = value));
    },
    putStrict(site, object, key, value) {
      'use strict';
      if (object === null || object === undefined) return this.put(site, object, key, value);
      return run(site, () => (object[key] = value));
    },
    obj(site, object, key) {
      if (object !== null && object !== undefined) return object;
      return run(site, () => object[key], key === undefined ? undefined : reading(object, key));
    },
    del(site, object) {
      if (object !== null && object !== undefined) return object;
      return run(site, () => delete object.x, 'Cannot convert undefined or null to object');
    },
    bin(site, name, one, other) {
      let words;
      if (name === 'in' && !isObject(other) && typeof one !== 'symbol' && typeof other !== 'symbol') {
        words = `Cannot use 'in' operator to search for '${text(one)}' in ${text(other)}`;
      }
      return run(site, () => binary[name](one, other), words);
    },
    un: (site, name, value) => run(site, () => unary[name](value)),
    above(site, value) {
      if (value === null || isConstructor(value)) return value;
      const words = isObject(value) ? undefined : `Class extends value ${text(value)} is not a constructor or null`;
      return run(site, () => class extends value {}, words);
    },
    wait(site, value) {
      if (!isObject(value) || typeof value.then !== 'function') return value;
      return apply(then, apply(resolve, Whole, [value]), [undefined, (error) => {
        note(site, error);
        throw error;
      }]);
    },
    thrown(site, error) {
      note(site, error);
      return error;
    },
    now: () => now,
    found(error) {
      if (isObject(error)) return apply(get, noted, [error]);
      return last && Plain.is(last[0], error) ? last[1] : undefined;
    },
  };
})()
