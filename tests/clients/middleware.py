"""keystonemiddleware: a service of somebody else, whose callers our Identity vouches for."""
import logging
import uuid

import keystoneauth1.session
import webob
from keystoneauth1.identity import v3
from keystonemiddleware import auth_token

from command import check
from daemon import PASSWORD
from sdk_calls import connect

# It warns of every option that belongs to the login, which it does use.
logging.getLogger('keystonemiddleware').setLevel(logging.ERROR)

HEADERS = ('User-Id', 'User-Name', 'User-Domain-Id', 'Project-Id', 'Project-Name', 'Roles', 'Domain-Id',
           'System-Scope', 'Service-User-Name', 'Service-Roles')


def service(environ, start_response):
    """Answers with what the filter in front of it says of the caller."""
    request = webob.Request(environ)
    told = {name: request.headers.get(f'X-{name}', request.headers.get(f'OpenStack-{name}')) for name in HEADERS}
    return webob.Response(json_body=told)(environ, start_response)


def filtered(daemon, **options):
    """The service behind its filter, which logs in as a user of its own."""
    return auth_token.AuthProtocol(service, {
        'auth_type': 'password', 'auth_url': f'{daemon.http}/identity', 'www_authenticate_uri': daemon.auth_url,
        'username': 'other-service', 'password': PASSWORD, 'user_domain_name': 'Default',
        'project_name': 'service', 'project_domain_name': 'Default', 'region_name': 'RegionOne',
        # The same token is asked about again each time.
        'token_cache_time': -1, 'service_token_roles': 'service', 'service_token_roles_required': True,
        **options})


def make_user(identity, name, project, *roles):
    user = identity.create_user(name=name, password=PASSWORD)
    for role in roles:
        identity.assign_project_role_to_user(project, user, identity.find_role(role))
    return user


def token(daemon, name, **scope):
    auth = v3.Password(auth_url=daemon.auth_url, username=name, password=PASSWORD, user_domain_id='default', **scope)
    return auth.get_token(keystoneauth1.session.Session())


def ask(app, **headers):
    return webob.Request.blank('/', headers={name.replace('_', '-'): text for name, text in headers.items()}).get_response(app)


def identifies_callers(daemon):
    identity = connect().identity
    project = identity.create_project(name=f'wsgi-{uuid.uuid4().hex}', domain_id='default')
    make_user(identity, 'other-service', identity.find_project('service'), 'service')
    user = make_user(identity, 'wsgi-user', project, 'member')
    app = filtered(daemon)
    own = token(daemon, 'wsgi-user', project_id=project.id)

    told = ask(app, X_Auth_Token=own)
    check(told.status_int == 200, told)
    seen = told.json
    check((seen['User-Id'], seen['User-Name'], seen['User-Domain-Id']) == (user.id, 'wsgi-user', 'default'), seen)
    check((seen['Project-Id'], seen['Project-Name']) == (project.id, project.name), seen)
    check(set(seen['Roles'].split(',')) == {'member', 'reader'}, seen)

    service_token = token(daemon, 'other-service', project_name='service', project_domain_id='default')
    both = ask(app, X_Auth_Token=own, X_Service_Token=service_token).json
    check((both['User-Name'], both['Service-User-Name']) == ('wsgi-user', 'other-service'), both)
    check('service' in both['Service-Roles'].split(','), both)

    system = ask(app, X_Auth_Token=token(daemon, 'admin', system_scope='all')).json
    check((system['System-Scope'], system['Project-Id']) == ('all', None), system)

    # What is forged, lacks a role or is missing gets nothing, nor does anybody pass by headers of their own.
    for headers in ({}, {'X_Auth_Token': 'none'}, {'X_Auth_Token': own, 'X_Service_Token': own},
                    {'X_User_Id': user.id, 'X_Roles': 'admin', 'X_Identity_Status': 'Confirmed'}):
        refused = ask(app, **headers)
        check(refused.status_int == 401, headers.keys(), refused)
        check(refused.headers['WWW-Authenticate'] == f'Keystone uri="{daemon.auth_url}"', refused)

    identity.update_user(user, is_enabled=False)
    check(ask(app, X_Auth_Token=own).status_int == 401, 'a disabled user')


STEPS = [identifies_callers]
