"""Every method as a person or a script calls it, in both dialects of upstream: what each reply holds, that a
change is seen by a later read, and that a secret which went in never comes out."""

import base64
import datetime
import json
import unittest
import uuid

from processes import GatewayTest, new_token, wait_until


def time_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00").partition(".")[0].removesuffix("+00:00"))


def text_of(time):
    return time.isoformat() + "Z"


class Methods(GatewayTest):
    """Each dialect has its own world. `real` says whether upstream tells what its reference does not promise."""
    settings = GatewayTest.settings + "cache: {max_bytes: 64MiB}\n"
    real = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.answered = set()
        cls.tests_run = 0

    @classmethod
    def tearDownClass(cls):
        """A method that no test here has seen answered fails the class (if all of its tests ran)."""
        if cls.tests_run < len(unittest.defaultTestLoader.getTestCaseNames(cls)):
            return
        methods = cls.client.reflection.methods()
        if methods != cls.answered:
            raise AssertionError(f"methods that no test has seen answered: {sorted(methods - cls.answered)}")

    def setUp(self):
        super().setUp()
        type(self).tests_run += 1

    def call(self, method, tells_secrets=False, **request):
        reply = self.assert_replied(self.run_call(method, json.dumps(request), tells_secrets=tells_secrets))
        self.answered.add(method)
        return reply

    def call_all(self, method, items, **request):
        """The items of all pages."""
        found, token = [], ""
        while True:
            page = self.call(method, pageToken=token, **request)
            found += page.get(items, [])
            token = page.get("nextPageToken")
            if not token:
                return found

    def assert_refused(self, method, code, reason, **request):
        ended = self.run_call(method, json.dumps(request))
        self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended)
        self.assertTrue(ended.stderr.startswith(code + ": "), ended.stderr)
        self.assertIn("reason: " + reason, ended.stderr)
        return ended.stderr

    def canary(self):
        secret = new_token()
        self.secrets.append(secret)
        return secret


class MethodsInTheRealDialect(Methods):

    # Workflows

    def test_a_workflow_is_run_read_listed_and_stopped(self):
        project, parameter = self.ids["project_id"], self.canary()
        started = self.call("WorkflowService.RunWorkflow", projectId=project, reference="refs/heads/endless-walk",
                            commitSha="0123456789abcdef0123456789abcdef01234567",
                            pipelineFile=".semaphore/other.yml", parameters={"WHO": parameter})
        self.assertEqual("hookId" in started, not self.real)
        workflow = self.call("WorkflowService.GetWorkflow", workflowId=started["workflowId"])
        self.assertEqual(workflow["workflowId"], started["workflowId"])
        self.assertEqual(workflow["initialPipelineId"], started["pipelineId"])
        self.assertEqual(workflow["projectId"], project)
        self.assertEqual(workflow["requesterId"], self.ids["user_id"])
        self.assertEqual(workflow["branchName"], "endless-walk")
        self.assertEqual(workflow["commitSha"], "0123456789abcdef0123456789abcdef01234567")
        self.assertGreater(time_of(workflow["createTime"]).year, 2000)
        self.assertEqual(workflow.get("trigger"), "WORKFLOW_TRIGGER_API" if self.real else None)
        listed = self.call("WorkflowService.ListWorkflows", projectId=project, branchName="endless-walk")
        self.assertEqual([found["workflowId"] for found in listed["workflows"]], [started["workflowId"]])
        self.assertEqual(listed.get("totalSize"), 1 if self.real else None)
        self.assertNotIn("nextPageToken", listed)

        running = self.call("PipelineService.GetPipeline", pipelineId=started["pipelineId"], tells_secrets=True)
        self.assertEqual(running["yamlFileName"], "other.yml")
        self.assertEqual(running.get("envVars"),
                         [{"name": "WHO", "value": parameter}] if self.real else None)
        self.assertEqual(self.call("WorkflowService.StopWorkflow", workflowId=started["workflowId"]), {})
        self.assertEqual(self.call("WorkflowService.StopWorkflow", workflowId=started["workflowId"]), {})
        self.check_stopped(started["pipelineId"])

    def check_stopped(self, pipeline_id):
        def done():
            pipeline = self.call("PipelineService.GetPipeline", pipelineId=pipeline_id, tells_secrets=True)
            return pipeline if pipeline["state"] == "PIPELINE_STATE_DONE" else None
        # Canceled is what is stopped before it ran.
        self.assertIn(wait_until(done, "the pipeline is done")["result"],
                      ("PIPELINE_RESULT_STOPPED", "PIPELINE_RESULT_CANCELED"))

    def test_workflows_are_listed_by_the_time_of_their_creation(self):
        project = self.ids["other_project_id"]
        every = self.call("WorkflowService.ListWorkflows", projectId=project, pageSize=1000)["workflows"]
        self.assertEqual(len(every), 35)
        middle = time_of(every[10]["createTime"])
        before = self.call("WorkflowService.ListWorkflows", projectId=project, pageSize=1000,
                           createdBefore=text_of(middle))["workflows"]
        self.assertEqual(before, every[11:])
        after = self.call("WorkflowService.ListWorkflows", projectId=project, pageSize=1000,
                          createdAfter=text_of(middle))["workflows"]
        self.assertEqual(after, every[:11])

    def test_a_rerun_starts_once_for_each_request_id(self):
        request = {"workflowId": self.ids["failed_workflow_id"], "requestId": str(uuid.uuid4())}
        rerun = self.call("WorkflowService.RerunWorkflow", **request)
        self.assertEqual(self.call("WorkflowService.RerunWorkflow", **request), rerun)
        self.assertNotEqual(rerun["workflowId"], self.ids["failed_workflow_id"])
        workflow = self.call("WorkflowService.GetWorkflow", workflowId=rerun["workflowId"])
        self.assertEqual(workflow["initialPipelineId"], rerun["pipelineId"])
        self.assertEqual(workflow.get("rerunOfWorkflowId"), self.ids["failed_workflow_id"] if self.real else None)
        another = self.call("WorkflowService.RerunWorkflow", workflowId=self.ids["failed_workflow_id"])
        self.assertNotEqual(another["workflowId"], rerun["workflowId"])

    # Pipelines

    def test_a_pipeline_is_read_in_both_views(self):
        basic = self.call("PipelineService.GetPipeline", pipelineId=self.ids["done_pipeline_id"])
        self.assertEqual(basic["result"], "PIPELINE_RESULT_PASSED")
        self.assertNotIn("blocks", basic)
        full = self.call("PipelineService.GetPipeline", pipelineId=self.ids["running_pipeline_id"],
                         view="PIPELINE_VIEW_FULL")
        self.assertEqual(full["state"], "PIPELINE_STATE_RUNNING")
        self.assertNotIn("result", full)
        self.assertEqual([block["name"] for block in full["blocks"]], ["Build", "Test", "Deploy"])
        running = {job["jobId"]: job for job in full["blocks"][1]["jobs"]}[self.ids["running_self_hosted_job_id"]]
        self.assertEqual(running["state"], "BLOCK_JOB_STATE_RUNNING")
        self.assertNotIn("result", running)  # upstream says PASSED

    def test_pipelines_are_listed_by_project_workflow_branch_file_and_time(self):
        def identity(pipeline):
            return pipeline.get("pipelineId"), pipeline["workflowId"], pipeline["yamlFileName"]

        def listed(**request):
            reply = self.call("PipelineService.ListPipelines", pageSize=1000, **request)
            return [identity(pipeline) for pipeline in reply.get("pipelines", [])]

        project = self.ids["other_project_id"]
        every = self.call("PipelineService.ListPipelines", projectId=project, pageSize=1000)["pipelines"]
        self.assertGreater(len(every), 35)
        found = listed(projectId=project, yamlFilePath=".semaphore/staging.yml", branchName="master")
        self.assertTrue(found)
        self.assertEqual(found, [identity(one) for one in every
                                 if one["yamlFileName"] == "staging.yml" and one["branchName"] == "master"])
        middle = every[10]["createTime"]
        older = [identity(one) for one in every if time_of(one["createTime"]) < time_of(middle)]
        newer = [identity(one) for one in every if time_of(one["createTime"]) >= time_of(middle)]
        self.assertTrue(older and newer)
        second = text_of(time_of(middle))
        self.assertEqual(listed(projectId=project, createdBefore=second), older)
        self.assertEqual(listed(projectId=project, createdAfter=second), newer)
        self.assertEqual(listed(projectId=project, doneAfter=second) + listed(projectId=project, doneBefore=second),
                         [identity(one) for one in every])
        of_workflow = listed(workflowId=self.ids["done_workflow_id"])
        self.assertEqual({workflow for _, workflow, _ in of_workflow}, {self.ids["done_workflow_id"]})
        self.assertEqual([file for _, _, file in of_workflow], ["staging.yml", "semaphore.yml"])
        self.assert_refused("PipelineService.ListPipelines", "INVALID_ARGUMENT", "INVALID_FIELD")

    def test_a_pipeline_stops(self):
        started = self.call("WorkflowService.RunWorkflow", projectId=self.ids["project_id"],
                            reference="refs/heads/endless-stop")
        pipeline_id = started["pipelineId"]
        self.assertEqual(self.call("PipelineService.StopPipeline", pipelineId=pipeline_id), {})
        self.check_stopped(pipeline_id)

    def test_a_definition_is_valid_or_not_and_never_runs_anything(self):
        definition = "version: v1.0\nname: ä\nblocks: [{name: \"x\"}]\n"
        self.assertEqual(self.call("PipelineService.ValidatePipelineYaml", yamlDefinition=definition),
                         {"valid": True, "message": "YAML definition is valid."})
        for wrong, said in (("version: [", "Unfinished"), ("name: x", "version")):
            reply = self.call("PipelineService.ValidatePipelineYaml", yamlDefinition=wrong)
            self.assertNotIn("valid", reply)
            self.assertIn(said, reply["message"])

    # Promotions

    def test_a_promotion_is_triggered_once_for_each_request_id_and_then_listed(self):
        pipeline, version = self.ids["self_hosted_pipeline_id"], self.canary()
        before = self.call("PromotionService.ListPromotions", pipelineId=pipeline, name="Production")
        self.assertNotIn("promotions", before)
        request = {"pipelineId": pipeline, "name": "Production", "override": True,
                   "parameters": {"VERSION": version, "REGION": "eu"}, "requestId": str(uuid.uuid4())}
        self.assertEqual(self.call("PromotionService.TriggerPromotion", **request), {})
        self.assertEqual(self.call("PromotionService.TriggerPromotion", **request), {})

        def decided():
            listed = self.call("PromotionService.ListPromotions", pipelineId=pipeline, name="Production")
            [promotion] = listed["promotions"]
            return promotion if promotion["state"] != "PROMOTION_STATE_PROCESSING" else None

        promotion = wait_until(decided, "the promotion is processed")
        self.assertEqual((promotion["name"], promotion["state"]), ("Production", "PROMOTION_STATE_PASSED"))
        self.assertEqual(promotion["triggeredBy"], self.ids["user_id"])
        if self.real:
            self.assertTrue(promotion["override"])
            promoted = self.call("PipelineService.GetPipeline", pipelineId=promotion["scheduledPipelineId"],
                                 tells_secrets=True)
            self.assertEqual(promoted["promotionOfPipelineId"], pipeline)
            self.assertEqual({"name": "VERSION", "value": version},
                             {one["name"]: one for one in promoted["envVars"]}["VERSION"])

    def test_a_promotion_that_cannot_be_triggered_says_why(self):
        done, failed = self.ids["done_pipeline_id"], self.ids["failed_pipeline_id"]
        rows = [({"pipelineId": done, "name": "Nowhere"}, "NOT_FOUND"),
                ({"pipelineId": failed, "name": "Staging"}, "FAILED_PRECONDITION"),
                ({"pipelineId": done, "name": "Cordoned target"}, "FAILED_PRECONDITION"),
                ({"pipelineId": done, "name": "Banned subject"}, "PERMISSION_DENIED")]
        for request, code in rows:
            with self.subTest(**request):
                self.assert_refused("PromotionService.TriggerPromotion", code, "UPSTREAM_REJECTED", **request)

    def test_a_pipeline_without_promotions_has_an_empty_list(self):
        self.assertNotIn("promotions", self.call("PromotionService.ListPromotions",
                                                 pipelineId=self.ids["promoted_pipeline_id"]))

    # Jobs

    def test_a_job_is_read_in_both_views_and_its_plain_secrets_only_in_one(self):
        self.secrets.append("plain-secret-of-")
        job = {"jobId": self.ids["cloud_job_id"]}
        basic = self.call("JobService.GetJob", **job)
        self.assertEqual(basic["jobId"], self.ids["cloud_job_id"])
        self.assertEqual((basic["state"], basic["result"]), ("JOB_STATE_FINISHED", "JOB_RESULT_PASSED"))
        self.assertTrue(time_of(basic["createTime"]) <= time_of(basic["startTime"]) < time_of(basic["finishTime"]))
        self.assertNotIn("spec", basic)
        full = self.call("JobService.GetJob", tells_secrets=True, view="JOB_VIEW_FULL", **job)
        if self.real:
            self.assertEqual(basic["projectId"], self.ids["project_id"])
            self.assertEqual(basic["agent"]["ports"][0]["name"], "ssh")
            self.assertEqual(full["spec"]["commands"], ["checkout", "make test"])
            self.assertIn("DEPLOY_PASSWORD", [one["name"] for one in full["spec"]["envVars"]])
            self.assertEqual({**full, "spec": None}, {**basic, "spec": None})
        else:
            self.assertEqual(full, basic)

    def test_a_job_stops(self):
        job = self.ids["running_cloud_job_id"]
        self.assertEqual(self.call("JobService.GetJob", jobId=job)["state"], "JOB_STATE_RUNNING")
        for _ in range(2):
            self.assertEqual(self.call("JobService.StopJob", jobId=job), {})

        def finished():
            read = self.call("JobService.GetJob", jobId=job)
            return read if read["state"] == "JOB_STATE_FINISHED" else None

        self.assertEqual(wait_until(finished, "the job is finished")["result"], "JOB_RESULT_STOPPED")

    def test_a_log_is_read(self):
        for name in ("cloud_job_id", "self_hosted_job_id"):
            with self.subTest(name):
                log = self.call("JobService.GetJobLog", jobId=self.ids[name], pageSize=2)
                self.assertEqual(len(log["events"]), 2)
                self.assertEqual(log["events"][0]["kind"], "JOB_LOG_EVENT_KIND_JOB_STARTED")
                rest = self.call("JobService.GetJobLog", jobId=self.ids[name], pageToken=log["nextPageToken"])
                self.assertEqual(rest["events"][-1]["result"], "JOB_RESULT_PASSED")
                self.assertTrue(rest["complete"])

    # Agents and their types

    def test_an_agent_type_lives_from_create_to_delete(self):
        name = "s1-mine_1"
        created = self.call("AgentTypeService.CreateAgentType", tells_secrets=True, agentType={
            "name": name, "nameSettings": {"assignmentOrigin": "ASSIGNMENT_ORIGIN_AGENT", "releaseAfter": "600s"}})
        self.assertGreater(len(created["registrationToken"]), 16)
        self.secrets.append(created["registrationToken"])  # told once and never again
        read = self.call("AgentTypeService.GetAgentType", agentTypeName=name)
        self.assertEqual(read, created["agentType"])
        self.assertEqual(read["nameSettings"],
                         {"assignmentOrigin": "ASSIGNMENT_ORIGIN_AGENT", "releaseAfter": "600s"})
        self.assert_refused("AgentTypeService.CreateAgentType", "ALREADY_EXISTS", "UPSTREAM_REJECTED",
                            agentType={"name": name})

        # What the mask leaves out stays, though upstream replaces all.
        aws = {"accountId": "42", "roleNamePatterns": ["ci-*", "deploy"]}
        updated = self.call("AgentTypeService.UpdateAgentType",
                            agentType={"name": name, "nameSettings": {
                                "assignmentOrigin": "ASSIGNMENT_ORIGIN_AWS_STS", "aws": aws}},
                            updateMask="nameSettings.assignmentOrigin,nameSettings.aws")
        settings = {"assignmentOrigin": "ASSIGNMENT_ORIGIN_AWS_STS", "releaseAfter": "600s", "aws": aws}
        self.assertEqual(updated["nameSettings"], settings)
        updated = self.call("AgentTypeService.UpdateAgentType",
                            agentType={"name": name, "nameSettings": {"releaseAfter": "60s"}},
                            updateMask="nameSettings.releaseAfter")
        self.assertEqual(updated["nameSettings"], {**settings, "releaseAfter": "60s"})
        self.assertEqual(self.call("AgentTypeService.GetAgentType", agentTypeName=name), updated)
        listed = self.call("AgentTypeService.ListAgentTypes", pageSize=1000)
        self.assertEqual([one for one in listed["agentTypes"] if one["name"] == name], [updated])
        self.assertEqual(listed["totalSize"], len(listed["agentTypes"]))

        self.assertEqual(self.call("AgentTypeService.DeleteAgentType", agentTypeName=name), {})
        self.assert_refused("AgentTypeService.GetAgentType", "NOT_FOUND", "UPSTREAM_NOT_FOUND", agentTypeName=name)
        listed = self.call("AgentTypeService.ListAgentTypes", pageSize=1000)
        self.assertNotIn(name, [one["name"] for one in listed["agentTypes"]])

    def test_an_update_of_an_agent_type_tells_how_many_agents_it_has(self):
        name = self.ids["agent_type_name"]
        count = self.call("AgentTypeService.GetAgentType", agentTypeName=name)["totalAgentCount"]
        self.assertGreater(count, 1)
        updated = self.call("AgentTypeService.UpdateAgentType", agentType={
            "name": name, "nameSettings": {"releaseAfter": "120s"}})
        self.assertEqual(updated["totalAgentCount"], count)

    def test_agents_are_listed_read_and_disabled(self):
        kind = self.ids["aws_agent_type_name"]
        agents = self.call_all("AgentService.ListAgents", "agents")
        self.assertGreaterEqual(len(agents), 200)
        self.assertEqual(agents, sorted(agents, key=lambda agent: agent["connectTime"]))
        agent = {agent["name"]: agent for agent in agents}[self.ids["agent_name"]]
        self.assertEqual(agent["state"], "AGENT_STATE_RUNNING_JOB")
        self.assertEqual(agent["agentTypeName"], self.ids["agent_type_name"])
        self.assertGreater(agent["pid"], 1)
        for key in ("version", "os", "arch", "hostname", "ipAddress"):
            self.assertTrue(agent[key], key)
        self.assertEqual(self.call("AgentService.GetAgent", agentName=agent["name"]), agent)
        disabled = self.call("AgentService.GetAgent", agentName=self.ids["disabled_agent_name"])
        self.assertEqual("disableTime" in disabled, self.real)

        of_kind = [agent["name"] for agent in agents if agent["agentTypeName"] == kind]
        self.assertTrue(of_kind)
        listed = self.call("AgentService.ListAgents", agentTypeName=kind)["agents"]
        self.assertEqual([agent["name"] for agent in listed], of_kind)
        self.assert_refused("AgentTypeService.DeleteAgentType", "FAILED_PRECONDITION", "UPSTREAM_REJECTED",
                            agentTypeName=kind)
        self.assertEqual(self.call("AgentTypeService.DisableAgents", agentTypeName=kind), {})
        if self.real:
            listed = self.call("AgentService.ListAgents", agentTypeName=kind)["agents"]
            self.assertTrue(all("disableTime" in agent for agent in listed), listed)
        wait_until(lambda: not self.call("AgentService.ListAgents", agentTypeName=kind).get("agents"),
                   "idle agents that are disabled have left")
        self.assertEqual(self.call("AgentTypeService.DeleteAgentType", agentTypeName=kind), {})

    def test_busy_agents_are_disabled_when_asked_for(self):
        kind = self.ids["agent_type_name"]
        self.assertEqual(self.call("AgentTypeService.DisableAgents", agentTypeName=kind, onlyIdle=False), {})
        agent = self.call("AgentService.GetAgent", agentName=self.ids["agent_name"])
        self.assertEqual("disableTime" in agent, self.real)

    # Deployment targets

    def usable(self, target_id):
        def look():
            target = self.call("DeploymentTargetService.GetDeploymentTarget", deploymentTargetId=target_id)
            return target if target["state"] == "DEPLOYMENT_TARGET_STATE_USABLE" else None
        return wait_until(look, "the deployment target is usable")

    def create_target(self, name, **fields):
        return self.call("DeploymentTargetService.CreateDeploymentTarget", deploymentTarget={
            "name": name, "projectId": self.ids["project_id"], **fields})

    def secret_fields(self):
        value, content = self.canary(), self.canary()
        encoded = base64.b64encode(content.encode()).decode()
        self.secrets.append(encoded)
        return {"envVars": [{"name": "PASSWORD", "value": value}],
                "files": [{"path": "/etc/key", "content": encoded}]}

    def secrets_upstream(self, target_id):
        """Names, paths and digests, which only the real dialect tells."""
        _, target = self.simulator.get(f"deployment_targets/{target_id}?include_secrets=true")
        return ({one["name"]: one["value"] for one in target["env_vars"]},
                {one["path"]: one["content"] for one in target["files"]})

    def test_a_deployment_target_lives_from_create_to_delete(self):
        project, secret = self.ids["project_id"], self.secret_fields()
        created = self.create_target(
            "mine", description="Mine,\nall mine", url="https://mine.example", bookmarkParameter1="VERSION",
            subjectRules=[{"type": "SUBJECT_RULE_TYPE_USER", "subjectId": self.ids["user_id"]},
                          {"type": "SUBJECT_RULE_TYPE_AUTO"}],
            objectRules=[{"type": "OBJECT_RULE_TYPE_BRANCH", "matchMode": "MATCH_MODE_EXACT", "pattern": "master"}],
            **secret)
        target_id = created["deploymentTargetId"]
        self.assertEqual(created["state"], "DEPLOYMENT_TARGET_STATE_SYNCING")
        target = self.usable(target_id)
        self.assertEqual((target["name"], target["description"]), ("mine", "Mine,\nall mine"))
        self.assertEqual((target["projectId"], target["organizationId"]), (project, self.ids["organization_id"]))
        self.assertEqual((target["createdBy"], target["updatedBy"]), (self.ids["user_id"],) * 2)
        self.assertEqual(target["bookmarkParameter1"], "VERSION")
        self.assertTrue(target["active"])
        self.assertEqual([rule["type"] for rule in target["subjectRules"]],
                         ["SUBJECT_RULE_TYPE_USER", "SUBJECT_RULE_TYPE_AUTO"])
        self.assertEqual(target["objectRules"], [{"type": "OBJECT_RULE_TYPE_BRANCH",
                                                  "matchMode": "MATCH_MODE_EXACT", "pattern": "master"}])
        if self.real:
            variables, files = self.secrets_upstream(target_id)
            self.assertEqual((list(variables), list(files)), (["PASSWORD"], ["/etc/key"]))

        updated = self.call("DeploymentTargetService.UpdateDeploymentTarget",
                            deploymentTarget={"deploymentTargetId": target_id, "description": "",
                                              "url": "https://other.example", "name": "not-mine"},
                            updateMask="description,url")
        self.assertEqual((updated["name"], updated["url"]), ("mine", "https://other.example"))
        self.assertNotIn("description", updated)
        self.assertEqual(updated["subjectRules"], target["subjectRules"])
        self.assertEqual(updated["objectRules"], target["objectRules"])
        read = self.call("DeploymentTargetService.GetDeploymentTarget", deploymentTargetId=target_id)
        self.assertEqual(read, updated)
        found = self.call("DeploymentTargetService.LookupDeploymentTarget", projectId=project, name="mine")
        self.assertEqual(found, read)
        listed = self.call("DeploymentTargetService.ListDeploymentTargets", projectId=project, pageSize=1000)
        self.assertEqual([one for one in listed["deploymentTargets"] if one["name"] == "mine"], [read])
        self.assertEqual(listed["totalSize"], len(listed["deploymentTargets"]))
        if self.real:
            self.assertEqual(self.secrets_upstream(target_id), (variables, files))

        self.assertEqual(self.call("DeploymentTargetService.DeleteDeploymentTarget", deploymentTargetId=target_id), {})

        def gone():
            ended = self.run_call("DeploymentTargetService.LookupDeploymentTarget",
                                  json.dumps({"projectId": project, "name": "mine"}))
            return ended.stderr.startswith("NOT_FOUND: ")

        wait_until(gone, "the deployment target with secrets has vanished")

    def test_a_deployment_target_that_is_syncing_cannot_be_changed(self):
        target = {"deploymentTargetId": self.ids["syncing_target_id"]}
        rows = [("Update", {"deploymentTarget": {**target, **self.secret_fields()}}),
                ("Deactivate", target), ("Delete", target)]
        for verb, request in rows:
            with self.subTest(verb):
                self.assert_refused(f"DeploymentTargetService.{verb}DeploymentTarget", "FAILED_PRECONDITION",
                                    "UPSTREAM_REJECTED", **request)

    def test_all_secrets_of_a_deployment_target_are_replaced_by_what_is_masked(self):
        target_id = self.create_target("with-secrets", **self.secret_fields())["deploymentTargetId"]
        self.usable(target_id)
        secret = self.secret_fields()
        secret["envVars"].append({"name": "OTHER", "value": self.canary()})
        secret["files"] = []
        self.call("DeploymentTargetService.UpdateDeploymentTarget",
                  deploymentTarget={"deploymentTargetId": target_id, **secret}, updateMask="envVars,files")
        self.usable(target_id)
        if self.real:
            variables, files = self.secrets_upstream(target_id)
            self.assertEqual((sorted(variables), files), (["OTHER", "PASSWORD"], {}))

    def test_a_request_id_creates_and_updates_once(self):
        request_id = str(uuid.uuid4())
        first, second = (self.call("DeploymentTargetService.CreateDeploymentTarget", requestId=request_id,
                                   deploymentTarget={"name": name, "projectId": self.ids["project_id"]})
                         for name in ("once", "twice"))
        self.assertEqual(second["deploymentTargetId"], first["deploymentTargetId"])
        self.assertEqual(second["name"], "once")
        self.assert_refused("DeploymentTargetService.CreateDeploymentTarget", "INVALID_ARGUMENT", "INVALID_FIELD",
                            requestId="no-uuid",
                            deploymentTarget={"name": "never", "projectId": self.ids["project_id"]})

    def test_a_deployment_target_is_deactivated_and_activated(self):
        target = {"deploymentTargetId": self.ids["usable_target_id"]}
        reply = self.call("DeploymentTargetService.DeactivateDeploymentTarget", **target)
        self.assertEqual(reply, {**target, "cordoned": True})
        read = self.call("DeploymentTargetService.GetDeploymentTarget", **target)
        self.assertEqual(read["state"], "DEPLOYMENT_TARGET_STATE_CORDONED")
        self.assertNotIn("active", read)
        self.assertEqual(self.call("DeploymentTargetService.ActivateDeploymentTarget", **target), target)
        read = self.call("DeploymentTargetService.GetDeploymentTarget", **target)
        self.assertEqual((read["state"], read["active"]), ("DEPLOYMENT_TARGET_STATE_USABLE", True))

    def test_a_lookup_finds_or_does_not(self):
        project = self.ids["project_id"]
        found = self.call("DeploymentTargetService.LookupDeploymentTarget", projectId=project, name="cordoned")
        self.assertEqual(found["deploymentTargetId"], self.ids["cordoned_target_id"])
        self.assert_refused("DeploymentTargetService.LookupDeploymentTarget", "NOT_FOUND", "UPSTREAM_NOT_FOUND",
                            projectId=project, name="nothing-of-the-kind")

    def test_deployments_are_listed_with_filters_and_the_last_one_with_its_target(self):
        target = self.ids["deployed_target_id"]
        first = self.call("DeploymentTargetService.ListDeployments", deploymentTargetId=target)
        self.assertEqual(len(first["deployments"]), 10)
        every = self.call_all("DeploymentTargetService.ListDeployments", "deployments", deploymentTargetId=target)
        self.assertEqual(len(every), 25)
        self.assertEqual(every[:10], first["deployments"])
        newest = every[0]
        self.assertEqual((newest["deploymentTargetId"], newest["state"]), (target, "DEPLOYMENT_STATE_PENDING"))
        self.assertNotIn("pipelineId", newest)
        self.assertTrue(time_of(newest["triggerTime"]) > time_of(every[1]["triggerTime"]))
        self.assertEqual([one["name"] for one in newest["envVars"]], ["ENVIRONMENT", "VERSION"])
        listed = self.call("DeploymentTargetService.ListDeploymentTargets", projectId=self.ids["project_id"],
                           pageSize=1000)["deploymentTargets"]
        last = {one["deploymentTargetId"]: one for one in listed}[target]["lastDeployment"]
        self.assertEqual(last["deploymentId"], newest["deploymentId"])
        self.assertNotIn("lastDeployment", self.call("DeploymentTargetService.GetDeploymentTarget",
                                                     deploymentTargetId=target))

        def matching(**filters):
            return self.call_all("DeploymentTargetService.ListDeployments", "deployments",
                                 deploymentTargetId=target, **filters)

        by_environment = [one for one in every if {"name": "ENVIRONMENT", "value": "staging"} in one["envVars"]]
        self.assertEqual(matching(bookmarkParameter1="staging"), by_environment)
        self.assertEqual(matching(bookmarkParameter1="stag*"), by_environment)
        self.assertEqual(matching(triggeredBy=self.ids["user_id"]),
                         [one for one in every if one["triggeredBy"] == self.ids["user_id"]])
        parts = [matching(gitRefType="GIT_REF_TYPE_" + kind) for kind in ("BRANCH", "TAG", "PR")]
        self.assertEqual(sum(map(len, parts)), 25)
        self.assertEqual(matching(gitRefType="GIT_REF_TYPE_TAG", gitRefLabel="v1.0"), parts[1])
        self.assertEqual(matching(gitRefLabel="nowhere"), [])

    # Retention policies

    def test_a_retention_policy_is_merged_and_cleared_list_by_list(self):
        project = self.ids["project_id"]
        empty = self.call("ArtifactRetentionPolicyService.GetArtifactRetentionPolicy", projectId=project)
        self.assertEqual(empty, {"projectId": project})

        def rule(selector, count, unit):
            return {"selector": selector, "age": {"count": count, "unit": "AGE_UNIT_" + unit}}

        def update(mask=None, **rules):
            request = {"artifactRetentionPolicy": {"projectId": project, **rules}}
            if mask:
                request["updateMask"] = mask
            reply = self.call("ArtifactRetentionPolicyService.UpdateArtifactRetentionPolicy", **request)
            read = self.call("ArtifactRetentionPolicyService.GetArtifactRetentionPolicy", projectId=project)
            self.assertEqual(reply, read)
            return read

        projects = [rule("/releases/**", 2, "YEAR"), rule("/**", 1, "MONTH")]
        self.assertEqual(update(projectLevelRules=projects),
                         {"projectId": project, "projectLevelRules": projects})
        jobs = [rule("/logs/*", 3, "WEEK")]
        self.assertEqual(update(jobLevelRules=jobs),
                         {"projectId": project, "projectLevelRules": projects, "jobLevelRules": jobs})
        workflows = [rule("/**", 5, "DAY" if self.real else "WEEK")]
        self.assertEqual(update("workflowLevelRules,projectLevelRules", workflowLevelRules=workflows),
                         {"projectId": project, "workflowLevelRules": workflows, "jobLevelRules": jobs})
        self.assert_refused("ArtifactRetentionPolicyService.UpdateArtifactRetentionPolicy",
                            "INVALID_ARGUMENT", "INVALID_FIELD", updateMask="*",
                            artifactRetentionPolicy={"projectId": project})

    # Projects

    def test_projects_are_listed_and_read_by_name(self):
        projects = self.call("ProjectService.ListProjects")["projects"]
        self.assertEqual({self.ids["project_id"], self.ids["other_project_id"], self.ids["empty_project_id"]},
                         {project["projectId"] for project in projects})
        project = self.call("ProjectService.GetProject", projectName=self.ids["project_name"])
        self.assertIn(project, projects)
        self.assertEqual(project["projectId"], self.ids["project_id"])
        self.assertEqual((project["organizationId"], project["ownerId"]),
                         (self.ids["organization_id"], self.ids["user_id"]))
        self.assertEqual(project["repository"]["pipelineFile"], ".semaphore/semaphore.yml")
        self.assertEqual(project["repository"]["runOn"], ["branches", "tags"])
        self.assert_refused("ProjectService.GetProject", "NOT_FOUND", "UPSTREAM_NOT_FOUND", projectName="nobody")

    # Secrets

    def test_what_is_wrong_with_a_secret_is_told_without_the_secret(self):
        project, value = self.ids["project_id"], self.canary()
        target = {"name": "wrong", "projectId": project}
        rows = [{**target, "envVars": [{"name": "A", "value": value + "\0"}]},
                {**target, "envVars": [{"name": "A", "value": value + "x" * (1 << 20)}]},
                {**target, "files": [{"path": "\0", "content": base64.b64encode(value.encode()).decode()}]}]
        self.secrets.append(base64.b64encode(value.encode()).decode())
        for row in rows:
            request = json.dumps({"deploymentTarget": row})
            ended = self.run_call("DeploymentTargetService.CreateDeploymentTarget", "-", standard_input=request)
            self.assertEqual(ended.returncode, 1, ended.stderr)
            self.assertIn("reason: INVALID_FIELD", ended.stderr)
        self.assertEqual(self.simulator.requests(), [])

    def test_a_request_that_is_not_well_formed_is_refused_without_being_repeated(self):
        rows = [({"envVars": [{"name": "A", "value": [self.canary()]}]}, "envVars[0]"),
                ({"envVars": [self.canary()]}, "invalid value for type"),
                ({"files": [{"path": "/a", "content": self.canary() + "!\"\n!"}]}, "files[0].content")]
        rows = [(json.dumps({"deploymentTarget": target}), said) for target, said in rows]
        rows.append((f'{{"deploymentTarget": {{"envVars": "{self.canary()}" 1}}}}', "Expected"))
        for request, said in rows:
            with self.subTest(said=said):
                ended = self.run_call("DeploymentTargetService.CreateDeploymentTarget", request)
                self.assertEqual((ended.returncode, ended.stdout), (2, ""), ended)
                self.assertIn(said.lower().replace("_", ""), ended.stderr.lower().replace("_", ""))

    def test_a_secret_that_upstream_repeats_is_taken_out(self):
        value, content = self.canary(), self.canary()
        encoded = base64.b64encode(content.encode()).decode()
        self.secrets.append(encoded)
        self.simulator.add_fault(action="answer", method="POST", status=400,
                                 body=json.dumps(f"wrong: {value} and {encoded} and {content}"))
        said = self.assert_refused("DeploymentTargetService.CreateDeploymentTarget", "INVALID_ARGUMENT",
                                   "UPSTREAM_REJECTED", deploymentTarget={
                                       "name": "echo", "projectId": self.ids["project_id"],
                                       "envVars": [{"name": "A", "value": value}],
                                       "files": [{"path": "/a", "content": encoded}]})
        self.assertIn("wrong: [redacted]", said)


class MethodsInTheDialectOfTheReference(MethodsInTheRealDialect):
    simulator_arguments = ("--dialect", "reference")
    real = False


if __name__ == "__main__":
    unittest.main()
