"""Mapping templates: the language, what it may call, and templates that are wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.backends.gateway import UTIL, Input, escape_javascript
from sflab.backends.velocity import Blank, Template, TemplateError

BODY = {"id": 7, "name": "O'Brien", "tags": ["a", "b"], "deep": {"x": None, "yes": True}}
PARAMETERS = {"path": {"id": "p"}, "querystring": {"q": "1", "id": "q"}, "header": {"X-Key": "k"}}


def rendered(text, **names):
    known = {"input": Input(json.dumps(BODY), PARAMETERS), "util": UTIL, "context": Blank(stage="prod")}
    return Template(text).render({**known, **names})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain $ 5 text # 1", "plain $ 5 text # 1"),
        ("$unknown.member $!unknown.member|${unknown}", "$unknown.member |${unknown}"),
        ("#set($a = 1)$a${a}b", "11b"),
        ("#set( $a = 'it''s $b' )$a", "it's $b"),
        ('#set($b = 2)#set($a = "is $b ""so""")$a', 'is 2 "so"'),
        ("#set($a = [1, 'x', true])$a $a[1] $a.size() $a.get(0)", "[1, x, true] x 3 1"),
        ("#set($a = {'k': 1, \"l\": [2]})$a $a.k $a.l[0] $a.get('k')", "{k=1, l=[2]} 1 2 1"),
        ("#foreach($i in [1..3])$i#if($foreach.hasNext),#end#end", "1,2,3"),
        ("#foreach($i in [3..1])$foreach.count:$i #end", "1:3 2:2 3:1 "),
        ("#foreach($e in {'a': 1}.entrySet())x#end", None),  # a literal has no members
        ("#set($m = {'a': 1})#foreach($e in $m.entrySet())$e.key=$e.value#end", "a=1"),
        ("#set($m = {'a': 1})#foreach($v in $m)$v#end", "1"),
        ("#if(1 == 1.0)y#{else}n#end", "y"),
        ("#if('a' != 'b' && !false)y#end", "y"),
        ("#if($input.path('$.none'))y#elseif(2 > 1 and 1 < 2)e#else n#end", "e"),
        ("#if('')y#end", "y"),  # only null and false are false (Velocity 1.7)
        ("#set($a = 7)#set($b = ($a + 1) * 2 - 6 / 4)$b", "15"),
        ("#set($a = -7 / 2)$a", "-3"),
        ("#set($a = 'n' + 1)$a", "n1"),
        ("a\n#set($x = 1)\nb", "a\nb"),  # a line of one directive leaves nothing
        ("a\n  #if(true)\n  b\n  #end\nc", "a\n  b\nc"),
        ("a ## to the end\nb#* and *#c", "a bc"),
        ("a#stop b", "a"),
        ("#foreach($i in [1..9])$i#if($i == 3)#break#end#end!", "123!"),
        ("a#break b", "a"),
        ("$input.params('id') $input.params('q') $input.params('x-key') [$input.params('none')]", "p 1 k []"),
        ("$input.params().querystring.q$input.params().header.get('X-Key')", "1k"),
        ("$input.path('$.tags')$input.path('$.deep')$input.path('$.tags[1]')", "[a, b]{x=null, yes=true}b"),
        ("$input.json('$.tags') $input.json('$.name') $input.json('$.none')", '["a","b"] "O\'Brien" ""'),
        ("[$input.path('$.none')]", "[]"),
        ("$input.body", json.dumps(BODY)),
        ("[$context.stage$context.nothing]", "[prod]"),
        ("#set($context.status = 404)$context.status", "404"),
        ("#set($o = $util.parseJson('{\"a\": {\"b\": [1]}}'))$o.a.b[0]", "1"),
        ("$util.urlEncode('a b&c')$util.urlDecode('a+b%26')", "a+b%26ca b&"),
        ("$util.base64Encode('hi') $util.base64Decode('aGk=')", "aGk= hi"),
        (r"""$util.escapeJavaScript("it's").replaceAll("\\'", "'")""", "it's"),
        ("#set($s = 'abcabc')$s.substring(1, 3)$s.length()$s.replaceAll('(b)c', '[$1]')", "bc6a[b]a[b]"),
        ("#set($s = ' A,b ')$s.trim().toLowerCase() $s.split(',')[1].trim() $s.contains(',')", "a,b b true"),
        ("#if($input.path('$.id').toString().equals('7'))y#end", "y"),
        ("#set($l = [])#set($done = $l.add('x'))$l $l.isEmpty()", "[x] false"),
    ],
)  # fmt: skip
def test_a_template_renders(text, expected):
    if expected is None:
        with pytest.raises(TemplateError):
            rendered(text)
    else:
        assert rendered(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#if(true) never ended", "#elseif or #else or #end is missing"),
        ("x\n#end", "line 2: there is an #end"),
        ("#set($a 1)", "= is missing"),
        ("#set($a = )", "a value is missing"),
        ("#set(a = 1)", "takes a .reference"),
        ("#foreach($a of [1])#end", "is written #foreach"),
        ("#set($a = 'open)", "' is missing"),
        ("${a", "} is missing"),
    ],
)
def test_a_template_that_cannot_be_read_says_where(text, said):
    with pytest.raises(TemplateError, match=said):
        Template(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("$util.nothing('x')", "no function nothing; there are escapeJavaScript"),
        ("#set($s = 'x')$s.explode()", "no method explode"),
        ("#set($a = 1 / 0)", "cannot be rendered: ZeroDivisionError"),
        ("#set($s = 'x')$s.replaceAll('(', '')", "cannot be rendered"),
        ("#set($s = 'x' - 1)", "cannot be rendered"),
        ("#foreach($a in [1..900])#foreach($b in [1..900])x#end#end", "more than 200,000 parts"),
        ("#foreach($a in [1..900000000])x#end", "a range of more than"),
        ("#set($a = 'xxxxxxxxxx')#foreach($i in [1..99])#set($a = \"$a$a\")#end", "a text of more than"),
        ("$input.path('nonsense[')", "nonsense"),
        ("$util.parseJson('{')", "parseJson"),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_rendered_says_why(text, said):
    with pytest.raises(TemplateError, match=said):
        rendered(text)


@pytest.mark.parametrize("open_", ["[", "(", "{", "!", "#if(", "#set($a = ["])
def test_a_template_that_is_nested_deep_is_refused_at_once(open_):
    with pytest.raises(TemplateError):
        Template("#set($a = " + open_ * 5000)


@given(st.text())
def test_any_text_is_a_template_or_is_refused(text):
    try:
        Template(text).render({})
    except TemplateError as e:
        assert str(e)


@given(st.text(alphabet="#$(){}[]!\"'., ifsetndfora=1|&\n", max_size=60))
def test_any_soup_of_the_language_is_a_template_or_is_refused(text):
    try:
        Template(text).render({"a": {"b": [1]}, "i": "s"})
    except TemplateError as e:
        assert str(e)


@given(st.text())
def test_escaped_text_is_json_but_for_apostrophes(text):
    escaped = escape_javascript(text).replace("\\'", "'")
    assert json.loads(f'"{escaped}"') == text
    assert escape_javascript("it's a/b") == "it\\'s a\\/b"


def test_no_object_of_ours_can_be_reached():
    for text in ("$util.__class__", "$input.parameters", "$util.functions", "$input.__init__.__globals__"):
        assert rendered(text) == ""
    assert rendered("#set($s = 'x')$!s.__class__|") == "|"
